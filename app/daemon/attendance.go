// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/http"
	"sync"
	"time"
)

// attendance knows whether anybody needs the daemon: a call that is under way, a watcher, or a session.
type attendance struct {
	mu     sync.Mutex
	calls  int
	wait   time.Duration
	timer  *time.Timer
	unused func() bool
	fired  chan struct{}
	once   sync.Once
}

// newAttendance fires after wait (0 is DefaultIdle) without calls, if unused agrees; else it waits again.
func newAttendance(wait time.Duration, unused func() bool) *attendance {
	if wait == 0 {
		wait = DefaultIdle
	}
	a := &attendance{wait: wait, unused: unused, fired: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = time.AfterFunc(wait, a.check)
	return a
}

// idle is closed when nobody needs the daemon any more.
func (a *attendance) idle() <-chan struct{} { return a.fired }

// count counts the calls that next serves.
func (a *attendance) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.calls++
		a.timer.Stop()
		a.mu.Unlock()
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.calls--
			if a.calls == 0 {
				a.timer.Reset(a.wait)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (a *attendance) check() {
	unused := a.unused()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.calls > 0: // the last one to end starts the timer again
	case unused:
		a.once.Do(func() { close(a.fired) })
	default:
		a.timer.Reset(a.wait)
	}
}
