// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

func testSocket(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "fl") // t.TempDir may be longer than the 104 bytes that a socket's name can have
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "daemon.sock")
}

func TestADaemonThatNobodyCanReachEnds(t *testing.T) {
	socket := testSocket(t)
	listener, err := localapi.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		gone := unreachable(ctx, listener)
		time.Sleep(3 * reachCheck)
		synctest.Wait()
		select {
		case <-gone:
			t.Fatal("unreachable while the socket is there")
		default:
		}
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
		<-gone
	})
}
