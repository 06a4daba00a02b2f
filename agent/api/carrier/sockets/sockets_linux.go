// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	// maxSegments is how many datagrams the kernel takes as one (UDP_MAX_SEGMENTS, include/linux/udp.h).
	maxSegments = 64
	// maxGroup is how many bytes of datagrams are handed over as one. The kernel segments late, and cheaply, only what
	// fits 64 KiB with all headers; 46 datagrams of MTU 1420 just don't, and are segmented at once in software.
	maxGroup = 65000
)

// batchConn writes several datagrams with one system call.
type batchConn interface {
	WriteBatch(ms []ipv6.Message, flags int) (int, error)
}

// Sockets are the sockets of both families; one may be missing. Methods may be called at the same time.
type Sockets struct{ v4, v6 *socket }

// Open opens the sockets, on the same port; with 0, on one of the system's choice. It fails only when neither family is to be
// had.
func Open(port uint16) (*Sockets, error) {
	for try := 1; ; try++ {
		v4, err4 := openSocket("udp4", port)
		wanted := port
		if v4 != nil {
			wanted = v4.port()
		}
		v6, err6 := openSocket("udp6", wanted)
		if v4 == nil && v6 == nil {
			return nil, errors.Join(err4, err6)
		}
		if v4 != nil && errors.Is(err6, unix.EADDRINUSE) && port == 0 && try < portTries {
			_ = v4.conn.Close()
			continue
		}
		return &Sockets{v4: v4, v6: v6}, nil
	}
}

func (s *Sockets) all() []*socket {
	var all []*socket
	for _, socket := range []*socket{s.v4, s.v6} {
		if socket != nil {
			all = append(all, socket)
		}
	}
	return all
}

func (s *Sockets) to(addr netip.Addr) *socket {
	if addr.Unmap().Is4() {
		return s.v4
	}
	return s.v6
}

// Receivers returns one function per socket.
func (s *Sockets) Receivers() []Receive {
	var receivers []Receive
	for _, socket := range s.all() {
		receivers = append(receivers, newReceiver(socket).receive)
	}
	return receivers
}

// Send sends datagrams to one address. One that is too large for the path is reported as *TooLargeError, after the others were
// sent.
func (s *Sockets) Send(datagrams [][]byte, to netip.AddrPort) error {
	socket := s.to(to.Addr())
	if socket == nil {
		return ErrNoFamily
	}
	return socket.send(datagrams, to)
}

// SendUnbroken sends one datagram that may not be fragmented on the way, whatever was told to SetFragment.
func (s *Sockets) SendUnbroken(datagram []byte, to netip.AddrPort) error {
	socket := s.to(to.Addr())
	if socket == nil {
		return ErrNoFamily
	}
	return socket.sendUnbroken(datagram, to)
}

// SetFragment says whether datagrams may be fragmented. Until it is called, that is as the system does it.
func (s *Sockets) SetFragment(allowed bool) {
	for _, socket := range s.all() {
		socket.setFragment(allowed)
	}
}

// ReceiveBuffer is the size of the smallest receive buffer, in bytes; 0 if it is not known.
func (s *Sockets) ReceiveBuffer() int {
	smallest := 0
	for _, socket := range s.all() {
		if size := socket.option(unix.SOL_SOCKET, unix.SO_RCVBUF); smallest == 0 || size < smallest {
			smallest = size
		}
	}
	return smallest
}

// Port is the local port of the sockets.
func (s *Sockets) Port() uint16 { return s.all()[0].port() }

// Close closes the sockets.
func (s *Sockets) Close() error {
	var errs []error
	for _, socket := range s.all() {
		errs = append(errs, socket.conn.Close())
	}
	return errors.Join(errs...)
}

// socket is one UDP socket with segmentation offload in both directions where the kernel has it.
type socket struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	batch batchConn
	v6    bool

	segment  atomic.Bool // the kernel takes several datagrams as one
	coalesce bool        // and gives them so

	fragmentMu sync.Mutex
	fragment   *bool // datagrams may be fragmented; nil is as the system does it

	sending sync.Pool // of *[]ipv6.Message
	batches sync.Pool // of *batch
}

func openSocket(network string, port uint16) (*socket, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = prepare(int(fd), network == "udp6") })
		return errors.Join(err, failed)
	}}
	packets, err := config.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, fmt.Errorf("open %s socket: %w", network, err)
	}
	conn := packets.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s socket: %w", network, err), conn.Close())
	}
	s := &socket{conn: conn, raw: raw, v6: network == "udp6"}
	if s.v6 {
		s.batch = ipv6.NewPacketConn(conn)
	} else {
		s.batch = ipv4.NewPacketConn(conn)
	}
	s.segment.Store(s.option(unix.IPPROTO_UDP, unix.UDP_SEGMENT) >= 0)
	s.coalesce = s.option(unix.IPPROTO_UDP, unix.UDP_GRO) == 1
	return s, nil
}

// prepare sets the options of a socket. Those that only make it faster may fail.
func prepare(fd int, v6 bool) error {
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, BufferSize)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	return nil
}

func (s *socket) port() uint16 {
	addr, _ := s.conn.LocalAddr().(*net.UDPAddr)
	return uint16(addr.Port)
}

// option reads a socket option; -1 if the kernel does not have it.
func (s *socket) option(level, name int) int {
	value := -1
	err := s.raw.Control(func(fd uintptr) {
		if v, err := unix.GetsockoptInt(int(fd), level, name); err == nil {
			value = v
		}
	})
	if err != nil {
		return -1
	}
	return value
}

func (s *socket) setFragment(allowed bool) {
	s.fragmentMu.Lock()
	defer s.fragmentMu.Unlock()
	if s.fragment == nil || *s.fragment != allowed {
		s.fragment = &allowed
		s.applyFragment(allowed)
	}
}

// applyFragment chooses between datagrams that routers and this machine may fragment, and datagrams that leave as they
// are or not at all, whatever path MTU the kernel believes in: ours is proven by probes.
func (s *socket) applyFragment(allowed bool) {
	level, name, mode := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	if s.v6 {
		level, name, mode = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	}
	if allowed {
		mode = unix.IP_PMTUDISC_DONT // the same number for IPv6
	}
	_ = s.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, name, mode) })
}

func (s *socket) sendUnbroken(datagram []byte, to netip.AddrPort) error {
	s.fragmentMu.Lock()
	defer s.fragmentMu.Unlock()
	if s.fragment != nil && *s.fragment {
		s.applyFragment(false)
		defer s.applyFragment(true)
	}
	_, err := s.conn.WriteToUDPAddrPort(datagram, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	return err
}
