// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAttendance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unused atomic.Bool
		a := newAttendance(time.Hour, unused.Load)
		isIdle := func() bool {
			synctest.Wait()
			select {
			case <-a.idle():
				return true
			default:
				return false
			}
		}
		time.Sleep(3 * time.Hour)
		if isIdle() {
			t.Fatal("idle although there is a session")
		}
		leave := make(chan struct{})
		handler := a.count(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-leave }))
		go handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		synctest.Wait()
		unused.Store(true)
		time.Sleep(3 * time.Hour)
		if isIdle() {
			t.Fatal("idle although somebody watches")
		}
		close(leave)
		time.Sleep(time.Hour - time.Second)
		if isIdle() {
			t.Fatal("idle too early")
		}
		time.Sleep(2 * time.Second)
		if !isIdle() {
			t.Fatal("not idle although nobody needs it")
		}
	})
}
