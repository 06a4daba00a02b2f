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
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		socket := filepath.Join(t.TempDir(), "socket")
		for _, name := range []string{socket, socket + ".next"} {
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		replaced, kept := unreachable(ctx, socket), unreachable(ctx, socket+".next")
		time.Sleep(3 * reachCheck)
		synctest.Wait()
		select {
		case <-replaced:
			t.Fatal("unreachable while the socket is there")
		default:
		}
		if err := os.Rename(socket+".next", socket); err != nil {
			t.Fatal(err)
		}
		<-replaced
		<-kept // it was moved away: as good as removed
		<-unreachable(ctx, socket+".nothing")
	})
}
