// SPDX-License-Identifier: Apache-2.0

package wireguard

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
	"unsafe"

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
	// readBuffers and readBuffer are how many coalesced datagrams a call may return, and how large they get, in bytes.
	readBuffers = 8
	readBuffer  = 1 << 16
)

// batchConn reads and writes several datagrams with one system call.
type batchConn interface {
	ReadBatch(ms []ipv6.Message, flags int) (int, error)
	WriteBatch(ms []ipv6.Message, flags int) (int, error)
}

// linuxSockets are the sockets of both families; one may be nil.
type linuxSockets struct{ v4, v6 *linuxSocket }

// openUDP opens the sockets. It fails only when neither family is to be had.
func openUDP(port uint16) (udpSockets, error) {
	v4, err4 := openSocket("udp4", port)
	v6, err6 := openSocket("udp6", port)
	if v4 == nil && v6 == nil {
		return nil, errors.Join(err4, err6)
	}
	return &linuxSockets{v4: v4, v6: v6}, nil
}

func (s *linuxSockets) all() []*linuxSocket {
	var all []*linuxSocket
	for _, socket := range []*linuxSocket{s.v4, s.v6} {
		if socket != nil {
			all = append(all, socket)
		}
	}
	return all
}

func (s *linuxSockets) to(addr netip.Addr) *linuxSocket {
	if addr.Unmap().Is4() {
		return s.v4
	}
	return s.v6
}

func (s *linuxSockets) receivers() []func([][]byte, []int) (int, error) {
	var receivers []func([][]byte, []int) (int, error)
	for _, socket := range s.all() {
		receivers = append(receivers, socket.receive)
	}
	return receivers
}

func (s *linuxSockets) send(datagrams [][]byte, to netip.AddrPort) error {
	socket := s.to(to.Addr())
	if socket == nil {
		return errNoFamily
	}
	return socket.send(datagrams, to)
}

func (s *linuxSockets) sendUnbroken(datagram []byte, to netip.AddrPort) error {
	socket := s.to(to.Addr())
	if socket == nil {
		return errNoFamily
	}
	return socket.sendUnbroken(datagram, to)
}

func (s *linuxSockets) setFragment(allowed bool) {
	for _, socket := range s.all() {
		socket.setFragment(allowed)
	}
}

func (s *linuxSockets) receiveBuffer() int {
	smallest := 0
	for _, socket := range s.all() {
		if size := socket.option(unix.SOL_SOCKET, unix.SO_RCVBUF); smallest == 0 || size < smallest {
			smallest = size
		}
	}
	return smallest
}

func (s *linuxSockets) port() uint16 {
	for _, socket := range s.all() {
		if addr, ok := socket.conn.LocalAddr().(*net.UDPAddr); ok {
			return uint16(addr.Port)
		}
	}
	return 0
}

func (s *linuxSockets) close() error {
	var errs []error
	for _, socket := range s.all() {
		errs = append(errs, socket.conn.Close())
	}
	return errors.Join(errs...)
}

// linuxSocket is one UDP socket with segmentation offload in both directions where the kernel has it.
type linuxSocket struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	batch batchConn
	v6    bool

	segment  atomic.Bool // the kernel takes several datagrams as one
	coalesce bool        // and gives them so

	fragmentMu sync.Mutex
	fragment   bool // datagrams may be fragmented

	sending sync.Pool // of *[]ipv6.Message

	// Of the one receiver:
	messages []ipv6.Message
	filled   int // how many of messages hold something
	current  int // the one being taken apart
	offset   int // how far
}

func openSocket(network string, port uint16) (*linuxSocket, error) {
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
	s := &linuxSocket{conn: conn, raw: raw, v6: network == "udp6", fragment: true}
	if s.v6 {
		s.batch = ipv6.NewPacketConn(conn)
	} else {
		s.batch = ipv4.NewPacketConn(conn)
	}
	s.segment.Store(s.option(unix.IPPROTO_UDP, unix.UDP_SEGMENT) >= 0)
	s.coalesce = s.option(unix.IPPROTO_UDP, unix.UDP_GRO) == 1
	s.applyFragment(true)
	s.messages = make([]ipv6.Message, readBuffers)
	for i := range s.messages {
		s.messages[i].Buffers = [][]byte{make([]byte, readBuffer)}
		s.messages[i].OOB = make([]byte, unix.CmsgSpace(4))
	}
	return s, nil
}

// prepare sets the options of a socket. Those that only make it faster may fail.
func prepare(fd int, v6 bool) error {
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, socketBuffer)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	return nil
}

// option reads a socket option; -1 if the kernel does not have it.
func (s *linuxSocket) option(level, name int) int {
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

func (s *linuxSocket) setFragment(allowed bool) {
	s.fragmentMu.Lock()
	defer s.fragmentMu.Unlock()
	if s.fragment != allowed {
		s.fragment = allowed
		s.applyFragment(allowed)
	}
}

// applyFragment chooses between datagrams that routers and this machine may fragment, and datagrams that leave as they
// are or not at all, whatever path MTU the kernel believes in: ours is proven by probes.
func (s *linuxSocket) applyFragment(allowed bool) {
	level, name, mode := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	if s.v6 {
		level, name, mode = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	}
	if allowed {
		mode = unix.IP_PMTUDISC_DONT // the same number for IPv6
	}
	_ = s.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, name, mode) })
}

func (s *linuxSocket) sendUnbroken(datagram []byte, to netip.AddrPort) error {
	s.fragmentMu.Lock()
	defer s.fragmentMu.Unlock()
	if s.fragment {
		s.applyFragment(false)
		defer s.applyFragment(true)
	}
	_, err := s.conn.WriteToUDPAddrPort(datagram, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	return err
}

// receive returns datagrams, several of which the kernel may have handed over as one. Its own buffers take those, so
// that the caller's are only ever filled with a single datagram.
func (s *linuxSocket) receive(bufs [][]byte, sizes []int) (int, error) {
	if s.current == s.filled {
		for i := range s.messages {
			s.messages[i].OOB = s.messages[i].OOB[:cap(s.messages[i].OOB)]
		}
		n, err := s.batch.ReadBatch(s.messages, 0)
		if err != nil {
			s.current, s.filled = 0, 0
			return 0, err
		}
		s.current, s.filled, s.offset = 0, n, 0
	}
	n := 0
	for n < len(bufs) && s.current < s.filled {
		m := &s.messages[s.current]
		whole := m.Buffers[0][:m.N]
		size := min(segmentSize(m.OOB[:m.NN], m.N), m.N-s.offset)
		sizes[n] = copy(bufs[n], whole[s.offset:s.offset+size])
		n++
		if s.offset += size; s.offset >= m.N {
			s.current++
			s.offset = 0
		}
	}
	return n, nil
}

// segmentSize reads from a control message how large the datagrams are that came as one, in bytes; whole if it is
// only one.
func segmentSize(control []byte, whole int) int {
	for len(control) >= unix.CmsgLen(0) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return whole
		}
		if header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && len(data) >= 4 {
			if size := int(*(*int32)(unsafe.Pointer(&data[0]))); size > 0 {
				return size
			}
		}
		control = rest
	}
	return whole
}

func (s *linuxSocket) messagesFor(count int) *[]ipv6.Message {
	if pooled, ok := s.sending.Get().(*[]ipv6.Message); ok && len(*pooled) >= count {
		return pooled
	}
	messages := make([]ipv6.Message, max(count, 128))
	return &messages
}

func (s *linuxSocket) send(datagrams [][]byte, to netip.AddrPort) error {
	if len(datagrams) == 1 && to.Addr().Zone() == "" {
		return s.sendOne(datagrams[0], to)
	}
	pooled := s.messagesFor(len(datagrams))
	defer s.sending.Put(pooled)
	addr := net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	messages := s.pack(*pooled, datagrams, addr)
	var tooLarge *tooLargeError
	for len(messages) > 0 {
		n, err := s.batch.WriteBatch(messages, 0)
		if err == nil {
			messages = messages[n:]
			continue
		}
		switch {
		case errors.Is(err, unix.EIO) && len(messages[0].Buffers) > 1:
			// The network card can't compute checksums, which segmentation needs (udp(7), UDP_SEGMENT).
			s.segment.Store(false)
			err = s.sendSingly(messages[0])
		case isTooLarge(err) && len(messages[0].Buffers) > 1:
			tooLarge = &tooLargeError{size: len(messages[0].Buffers[0]), err: err}
			err = s.sendSingly(messages[0])
		case errors.Is(err, unix.ENOBUFS):
			err = nil // the network card's queue is full: lost, as on any network
		case isTooLarge(err):
			tooLarge, err = &tooLargeError{size: len(messages[0].Buffers[0]), err: err}, nil
		}
		if err != nil && !isTooLarge(err) {
			return err
		}
		messages = messages[1:]
	}
	if tooLarge != nil {
		return tooLarge
	}
	return nil
}

// isTooLarge reports whether sending failed because of a datagram's size. Kernels before 6.13 say EINVAL of a datagram
// that is part of several handed over as one.
func isTooLarge(err error) bool { return errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL) }

// sendSingly sends the datagrams of a message one by one. Those that are too large even so are lost.
func (s *linuxSocket) sendSingly(message ipv6.Message) error {
	single := ipv6.Message{Addr: message.Addr, Buffers: make([][]byte, 1)}
	for _, datagram := range message.Buffers {
		single.Buffers[0] = datagram
		if _, err := s.batch.WriteBatch([]ipv6.Message{single}, 0); err != nil && !isTooLarge(err) {
			return err
		}
	}
	return nil
}

// pack fills messages with the datagrams, as few messages as may be: a run of datagrams of one size, and a smaller one
// at its end, leave as one where the kernel segments.
func (s *linuxSocket) pack(messages []ipv6.Message, datagrams [][]byte, addr net.Addr) []ipv6.Message {
	segment := s.segment.Load()
	count, bytes := 0, 0
	open := false // the last message takes more
	for _, datagram := range datagrams {
		if open {
			m := &messages[count-1]
			size := len(m.Buffers[0])
			if len(datagram) <= size && len(m.Buffers) < maxSegments && bytes+len(datagram) <= maxGroup {
				m.Buffers = append(m.Buffers, datagram)
				bytes += len(datagram)
				open = len(datagram) == size
				continue
			}
		}
		m := &messages[count]
		m.Buffers, m.OOB, m.Addr = append(m.Buffers[:0], datagram), m.OOB[:0], addr
		count, bytes, open = count+1, len(datagram), segment
	}
	for i := range count {
		if m := &messages[i]; len(m.Buffers) > 1 {
			m.OOB = appendSegmentSize(m.OOB, len(m.Buffers[0]))
		}
	}
	return messages[:count]
}

// appendSegmentSize appends the control message that says how large the datagrams of a message are.
func appendSegmentSize(control []byte, size int) []byte {
	space := unix.CmsgSpace(2)
	control = append(control, make([]byte, space)...)
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[len(control)-space]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&control[len(control)-space+unix.CmsgLen(0)])) = uint16(size)
	return control
}
