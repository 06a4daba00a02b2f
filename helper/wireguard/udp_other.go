// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package wireguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// plainSockets move one datagram with each system call, as all systems can.
type plainSockets struct {
	v4, v6 *net.UDPConn

	mu       sync.Mutex
	fragment bool // datagrams may be fragmented
}

// openUDP opens the sockets. It fails only when neither family is to be had.
func openUDP(port uint16) (udpSockets, error) {
	v4, err4 := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	v6, err6 := net.ListenUDP("udp6", &net.UDPAddr{Port: int(port)})
	if v4 == nil && v6 == nil {
		return nil, fmt.Errorf("open UDP socket: %w", errors.Join(err4, err6))
	}
	s := &plainSockets{v4: v4, v6: v6, fragment: true}
	for _, conn := range s.all() {
		_ = conn.SetReadBuffer(socketBuffer) // as much as the system allows
		_ = conn.SetWriteBuffer(socketBuffer)
		allowFragments(conn, conn == v6, true)
	}
	return s, nil
}

func (s *plainSockets) all() []*net.UDPConn {
	var all []*net.UDPConn
	for _, conn := range []*net.UDPConn{s.v4, s.v6} {
		if conn != nil {
			all = append(all, conn)
		}
	}
	return all
}

func (s *plainSockets) receivers() []func([][]byte, []int) (int, error) {
	var receivers []func([][]byte, []int) (int, error)
	for _, conn := range s.all() {
		receivers = append(receivers, func(bufs [][]byte, sizes []int) (int, error) {
			n, _, err := conn.ReadFromUDPAddrPort(bufs[0])
			if err != nil {
				return 0, err
			}
			sizes[0] = n
			return 1, nil
		})
	}
	return receivers
}

func (s *plainSockets) to(addr netip.Addr) *net.UDPConn {
	if addr.Unmap().Is4() {
		return s.v4
	}
	return s.v6
}

func (s *plainSockets) send(datagrams [][]byte, to netip.AddrPort) error {
	conn := s.to(to.Addr())
	if conn == nil {
		return errNoFamily
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	var tooLarge error
	for _, datagram := range datagrams {
		_, err := conn.WriteToUDPAddrPort(datagram, to)
		switch {
		case isTooLarge(err):
			tooLarge = &tooLargeError{size: len(datagram), err: err}
		case err != nil:
			return err
		}
	}
	return tooLarge
}

func (s *plainSockets) sendUnbroken(datagram []byte, to netip.AddrPort) error {
	conn := s.to(to.Addr())
	if conn == nil {
		return errNoFamily
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fragment {
		allowFragments(conn, conn == s.v6, false)
		defer allowFragments(conn, conn == s.v6, true)
	}
	_, err := conn.WriteToUDPAddrPort(datagram, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	return err
}

func (s *plainSockets) setFragment(allowed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fragment == allowed {
		return
	}
	s.fragment = allowed
	for _, conn := range s.all() {
		allowFragments(conn, conn == s.v6, allowed)
	}
}

func (s *plainSockets) receiveBuffer() int { return 0 }

func (s *plainSockets) port() uint16 {
	for _, conn := range s.all() {
		if addr, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			return uint16(addr.Port)
		}
	}
	return 0
}

func (s *plainSockets) close() error {
	var errs []error
	for _, conn := range s.all() {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
