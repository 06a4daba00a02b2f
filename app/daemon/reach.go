// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"net"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// reachCheck is how often the daemon looks whether it can still be reached.
const reachCheck = 5 * time.Second

// unreachable is closed when callers no longer find the listener under its name. A daemon that nobody can reach must
// not hold a connection, and must not fight over the helper with the one that is started next.
func unreachable(ctx context.Context, listener net.Listener) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		ticker := time.NewTicker(reachCheck)
		defer ticker.Stop()
		for localapi.Reachable(listener) {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		close(gone)
	}()
	return gone
}
