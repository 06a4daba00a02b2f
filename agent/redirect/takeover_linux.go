// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Sweep closes the connections that may be closed now. It returns how many still bypass the sidecar, and after what time to call
// it again; 0 when there is nothing left to do. After an error it is worth calling again; ErrCannotDestroy says that the kernel
// can only count.
func (t *Takeover) Sweep(now time.Time) (bypassing int, next time.Duration, err error) {
	conn, err := netlink.Dial(unix.NETLINK_INET_DIAG, nil)
	if err != nil {
		return 0, sweepSlowly, fmt.Errorf("ask the kernel for connections: %w", err)
	}
	defer func() { _ = conn.Close() }()
	return t.sweep(sockDiag{conn}, now)
}
