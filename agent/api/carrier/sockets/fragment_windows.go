// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"errors"
	"net"

	"golang.org/x/sys/windows"
)

// Options of ws2ipdef.h that golang.org/x/sys does not name.
const (
	ipDontFragment   = 14 // IP_DONTFRAGMENT
	ipv6DontFragment = 14 // IPV6_DONTFRAG
)

// allowFragments chooses whether datagrams of a socket may be fragmented. Without the option datagrams are as the
// system makes them, which only means that the path MTU is found later.
func allowFragments(conn *net.UDPConn, v6, allowed bool) {
	level, name, value := windows.IPPROTO_IP, ipDontFragment, 1
	if v6 {
		level, name = windows.IPPROTO_IPV6, ipv6DontFragment
	}
	if allowed {
		value = 0
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = windows.SetsockoptInt(windows.Handle(fd), level, name, value) })
}

// IsTooLarge reports whether sending failed because of a datagram's size.
func IsTooLarge(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
