// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"errors"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

func (s *socket) messagesFor(count int) *[]ipv6.Message {
	if pooled, ok := s.sending.Get().(*[]ipv6.Message); ok && len(*pooled) >= count {
		return pooled
	}
	messages := make([]ipv6.Message, max(count, 128))
	return &messages
}

func (s *socket) send(datagrams [][]byte, to netip.AddrPort) error {
	if len(datagrams) == 1 && to.Addr().Zone() == "" {
		return s.sendOne(datagrams[0], to)
	}
	pooled := s.messagesFor(len(datagrams))
	defer s.sending.Put(pooled)
	addr := net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	messages := s.pack(*pooled, datagrams, addr)
	var tooLarge *TooLargeError
	for len(messages) > 0 {
		n, err := s.sendSome(messages, to)
		if err == nil {
			messages = messages[n:]
			continue
		}
		switch {
		case errors.Is(err, unix.EIO) && len(messages[0].Buffers) > 1:
			// The network card can't compute checksums, which segmentation needs (udp(7), UDP_SEGMENT).
			s.segment.Store(false)
			err = s.sendSingly(messages[0])
		case IsTooLarge(err) && len(messages[0].Buffers) > 1:
			tooLarge = &TooLargeError{Size: len(messages[0].Buffers[0]), Err: err}
			err = s.sendSingly(messages[0])
		case errors.Is(err, unix.ENOBUFS):
			err = nil // the network card's queue is full: lost, as on any network
		case IsTooLarge(err):
			tooLarge, err = &TooLargeError{Size: len(messages[0].Buffers[0]), Err: err}, nil
		}
		if err != nil && !IsTooLarge(err) {
			return err
		}
		messages = messages[1:]
	}
	if tooLarge != nil {
		return tooLarge
	}
	return nil
}

// sendSome sends messages, as many as go with one call, and returns how many.
func (s *socket) sendSome(messages []ipv6.Message, to netip.AddrPort) (int, error) {
	if to.Addr().Zone() == "" {
		return s.sendBatch(messages, to)
	}
	return s.batch.WriteBatch(messages, 0)
}

// IsTooLarge reports whether sending failed because of a datagram's size. Kernels before 6.13 say EINVAL of a datagram
// that is part of several handed over as one.
func IsTooLarge(err error) bool { return errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL) }

// sendSingly sends the datagrams of a message one by one. Those that are too large even so are lost.
func (s *socket) sendSingly(message ipv6.Message) error {
	single := ipv6.Message{Addr: message.Addr, Buffers: make([][]byte, 1)}
	for _, datagram := range message.Buffers {
		single.Buffers[0] = datagram
		if _, err := s.batch.WriteBatch([]ipv6.Message{single}, 0); err != nil && !IsTooLarge(err) {
			return err
		}
	}
	return nil
}

// pack fills messages with the datagrams, as few messages as may be: a run of datagrams of one size, and a smaller one
// at its end, leave as one where the kernel segments.
func (s *socket) pack(messages []ipv6.Message, datagrams [][]byte, addr net.Addr) []ipv6.Message {
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
