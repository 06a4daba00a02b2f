// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
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

// fitsPath reports whether a datagram of size bytes of UDP payload reaches an address without fragments, as far as the
// kernel knows. Where the path is narrower than the route, the kernel learns it from the first datagram that is refused
// on the way (RFC 1191): those that it sends whole it marks as not to be fragmented.
func fitsPath(to netip.Addr, size int) bool {
	if size <= alwaysFits {
		return true
	}
	mtu, err := pathMTU(to)
	if err != nil {
		return false
	}
	if to.Unmap().Is4() {
		return size+ipv4UDPHeaders <= mtu
	}
	return size+ipv6UDPHeaders <= mtu
}

const (
	alwaysFits     = 1232 // IPv6's smallest MTU less headers: not worth asking
	ipv4UDPHeaders = 28
	ipv6UDPHeaders = 48
)

// pathMTU asks the kernel for the MTU of the path to an address, in bytes.
func pathMTU(to netip.Addr) (int, error) {
	to = to.Unmap()
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU
	var address unix.Sockaddr
	const discard = 9 // any port: nothing is sent
	if to.Is4() {
		address = &unix.SockaddrInet4{Port: discard, Addr: to.As4()}
	} else {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU
		address = &unix.SockaddrInet6{Port: discard, Addr: to.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, address); err != nil {
		return 0, fmt.Errorf("find route to %s: %w", to, err)
	}
	mtu, err := unix.GetsockoptInt(fd, level, option)
	if err != nil {
		return 0, fmt.Errorf("read path MTU to %s: %w", to, err)
	}
	return mtu, nil
}

// UDPReceiveBuffer returns how much the kernel keeps of what arrives while WireGuard is busy, in bytes: what WireGuard
// asks for, or as little as the node's net.core.rmem_max allows.
func UDPReceiveBuffer() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	const wanted = sockets.BufferSize
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wanted)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wanted)
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0, fmt.Errorf("read socket buffer size: %w", err)
	}
	return size / 2, nil // the kernel doubles it for its own use (socket(7))
}
