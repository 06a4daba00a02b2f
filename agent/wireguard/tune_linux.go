// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// notSentLowat bounds what the kernel holds of a relay stream beyond what is in flight, in bytes (tcp(7)): a deep queue
// there would delay every small request behind a download.
const notSentLowat = 128 << 10

// tuneRelay sets a relay stream's socket up. Where it can't, the stream works all the same.
func tuneRelay(conn net.Conn) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
}

// tooBig reports whether a send failed because the path does not take datagrams of this size.
func tooBig(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
