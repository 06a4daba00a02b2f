// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package sockets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Sockets move one datagram with each system call, as all systems can. Methods may be called at the same time.
type Sockets struct {
	v4, v6 *net.UDPConn

	mu       sync.Mutex
	fragment *bool // datagrams may be fragmented; nil is as the system does it
}

// Open opens the sockets, on the same port; with 0, on one of the system's choice. It fails only when neither family is to be
// had.
func Open(port uint16) (*Sockets, error) {
	for try := 1; ; try++ {
		v4, err4 := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
		wanted := int(port)
		if v4 != nil {
			wanted = v4.LocalAddr().(*net.UDPAddr).Port
		}
		v6, err6 := net.ListenUDP("udp6", &net.UDPAddr{Port: wanted})
		if v4 == nil && v6 == nil {
			return nil, fmt.Errorf("open UDP socket: %w", errors.Join(err4, err6))
		}
		if v4 != nil && v6 == nil && port == 0 && try < portTries {
			_ = v4.Close()
			continue
		}
		s := &Sockets{v4: v4, v6: v6}
		for _, conn := range s.all() {
			_ = conn.SetReadBuffer(BufferSize) // as much as the system allows
			_ = conn.SetWriteBuffer(BufferSize)
		}
		return s, nil
	}
}

func (s *Sockets) all() []*net.UDPConn {
	var all []*net.UDPConn
	for _, conn := range []*net.UDPConn{s.v4, s.v6} {
		if conn != nil {
			all = append(all, conn)
		}
	}
	return all
}

// Receivers returns one function per socket.
func (s *Sockets) Receivers() []Receive {
	var receivers []Receive
	for _, conn := range s.all() {
		receivers = append(receivers, func(bufs [][]byte, sizes []int, from []netip.AddrPort) (int, error) {
			n, source, err := conn.ReadFromUDPAddrPort(bufs[0])
			if err != nil {
				return 0, err
			}
			sizes[0] = n
			if from != nil {
				from[0] = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
			}
			return 1, nil
		})
	}
	return receivers
}

func (s *Sockets) to(addr netip.Addr) *net.UDPConn {
	if addr.Unmap().Is4() {
		return s.v4
	}
	return s.v6
}

// Send sends datagrams to one address. One that is too large for the path is reported as *TooLargeError, after the others were
// sent.
func (s *Sockets) Send(datagrams [][]byte, to netip.AddrPort) error {
	conn := s.to(to.Addr())
	if conn == nil {
		return ErrNoFamily
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	var tooLarge error
	for _, datagram := range datagrams {
		_, err := conn.WriteToUDPAddrPort(datagram, to)
		switch {
		case IsTooLarge(err):
			tooLarge = &TooLargeError{Size: len(datagram), Err: err}
		case err != nil:
			return err
		}
	}
	return tooLarge
}

// SendUnbroken sends one datagram that may not be fragmented on the way, whatever was told to SetFragment.
func (s *Sockets) SendUnbroken(datagram []byte, to netip.AddrPort) error {
	conn := s.to(to.Addr())
	if conn == nil {
		return ErrNoFamily
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fragment != nil && *s.fragment {
		allowFragments(conn, conn == s.v6, false)
		defer allowFragments(conn, conn == s.v6, true)
	}
	_, err := conn.WriteToUDPAddrPort(datagram, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	return err
}

// SetFragment says whether datagrams may be fragmented. Until it is called, that is as the system does it.
func (s *Sockets) SetFragment(allowed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fragment != nil && *s.fragment == allowed {
		return
	}
	s.fragment = &allowed
	for _, conn := range s.all() {
		allowFragments(conn, conn == s.v6, allowed)
	}
}

// ReceiveBuffer is the size of the smallest receive buffer, in bytes; 0 if it is not known.
func (s *Sockets) ReceiveBuffer() int { return 0 }

// Port is the local port of the sockets.
func (s *Sockets) Port() uint16 {
	for _, conn := range s.all() {
		if addr, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			return uint16(addr.Port)
		}
	}
	return 0
}

// Close closes the sockets.
func (s *Sockets) Close() error {
	var errs []error
	for _, conn := range s.all() {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
