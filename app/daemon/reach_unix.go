// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package daemon

import (
	"context"
	"os"
	"time"
)

// reachCheck is how often the daemon looks whether it can still be reached.
const reachCheck = 5 * time.Second

// unreachable is closed when the socket is no longer the one that this process serves: somebody removed it, as systemd
// does with the runtime folder when the user logs out. A daemon that nobody can reach must not hold a connection, and
// must not fight over the helper with the one that is started next.
func unreachable(ctx context.Context, socket string) <-chan struct{} {
	gone := make(chan struct{})
	mine, err := os.Stat(socket)
	if err != nil {
		close(gone)
		return gone
	}
	go func() {
		ticker := time.NewTicker(reachCheck)
		defer ticker.Stop()
		for {
			if now, err := os.Stat(socket); err != nil || !os.SameFile(mine, now) {
				close(gone)
				return
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return gone
}
