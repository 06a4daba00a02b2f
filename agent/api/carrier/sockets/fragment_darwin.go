// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// allowFragments chooses whether datagrams of a socket may be fragmented. Without the option datagrams are as the
// system makes them, which only means that the path MTU is found later.
func allowFragments(conn *net.UDPConn, v6, allowed bool) {
	level, name, value := unix.IPPROTO_IP, unix.IP_DONTFRAG, 1
	if v6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG
	}
	if allowed {
		value = 0
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, name, value) })
}

// IsTooLarge reports whether sending failed because of a datagram's size.
func IsTooLarge(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
