// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"
)

// deviceHint is what helps when the interface can't be made.
const deviceHint = "the helper must run as root, and /dev/net/tun must exist: modprobe tun"

func deviceName(i int) string { return "fairlead" + strconv.Itoa(i) }

// queueLength is how many packets wait at the interface for WireGuard. The kernel's 500 are too few when thousands of
// connections are opened at once: what does not fit is dropped, and a lost SYN is sent again a second later.
const queueLength = 4096

// setQueueLength makes an interface's queue long enough.
func setQueueLength(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetTxQLen(link, queueLength)
	}
	if err != nil {
		return fmt.Errorf("set length of queue of %s: %w", name, err)
	}
	return nil
}
