// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// The sidecar's own sockets are bound to loopback ports that apps hardly ever have and the kernel gives to nobody by itself
// (above net.ipv4.ip_local_port_range): an app that wants the same port would not get it.
const (
	firstPort = 61000
	lastPort  = 65500
	attempts  = 64
)

var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// marked sets SO_MARK on a socket before it is bound. The connections of a listening socket inherit it.
func marked(port uint16) net.ListenConfig {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark<<16|int(port))
		}); err != nil {
			return err
		}
		return failed
	}}
	config.SetMultipathTCP(false) // such sockets can't be in a socket map
	return config
}

// listenTCP opens a listening socket for each family.
func listenTCP() ([]*net.TCPListener, error) {
	config := marked(0)
	return eachFamily(func(address string) (*net.TCPListener, error) {
		listener, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, err
		}
		return listener.(*net.TCPListener), nil
	})
}

// listenUDP opens a datagram socket for each family, whose datagrams leave the pod from the port.
func listenUDP(port uint16) ([]*net.UDPConn, error) {
	config := marked(port)
	return eachFamily(func(address string) (*net.UDPConn, error) {
		conn, err := config.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			return nil, err
		}
		return conn.(*net.UDPConn), nil
	})
}

// eachFamily opens a socket on a free port of each loopback address that the pod has.
func eachFamily[Socket any](listen func(address string) (Socket, error)) ([]Socket, error) {
	var sockets []Socket
	for _, loopback := range loopbacks {
		socket, err := onFreePort(loopback, listen)
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
			continue // the pod has no IPv6, or no IPv4
		}
		if err != nil {
			return nil, explain("open a socket for redirected callers", "socket marks", "2.6.25", err)
		}
		sockets = append(sockets, socket)
	}
	if len(sockets) == 0 {
		return nil, errors.New("open a socket for redirected callers: the pod has no loopback address")
	}
	return sockets, nil
}

func onFreePort[Socket any](loopback netip.Addr, listen func(address string) (Socket, error)) (Socket, error) {
	var socket Socket
	var err error
	for range attempts {
		port := uint16(firstPort + rand.IntN(lastPort-firstPort))
		socket, err = listen(netip.AddrPortFrom(loopback, port).String())
		if !errors.Is(err, unix.EADDRINUSE) {
			return socket, err
		}
	}
	return socket, fmt.Errorf("none of %d ports from %d on is free: %w", attempts, firstPort, err)
}
