// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// batch is the memory of one call that sends messages. The zero value is ready.
type batch struct {
	headers []messageHeader
	vectors []unix.Iovec
	address unix.RawSockaddrInet6 // the larger of the two families'
}

// fill makes the kernel's headers for messages to an address without a zone.
func (b *batch) fill(messages []ipv6.Message, to netip.AddrPort, v6 bool) {
	buffers := 0
	for i := range messages {
		buffers += len(messages[i].Buffers)
	}
	if len(b.headers) < len(messages) {
		b.headers = make([]messageHeader, max(len(messages), 128))
	}
	if len(b.vectors) < buffers {
		b.vectors = make([]unix.Iovec, max(buffers, 128))
	}
	var addressSize uintptr
	b.address, addressSize = socketAddress(to, v6)
	vectors := b.vectors
	for i := range messages {
		m, h := &messages[i], &b.headers[i]
		*h = messageHeader{}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.address)), uint32(addressSize)
		h.Iov = &vectors[0]
		h.SetIovlen(len(m.Buffers))
		for j, buffer := range m.Buffers {
			vectors[j].Base = unsafe.SliceData(buffer)
			vectors[j].SetLen(len(buffer))
		}
		vectors = vectors[len(m.Buffers):]
		if len(m.OOB) > 0 {
			h.Control = &m.OOB[0]
			h.SetControllen(len(m.OOB))
		}
	}
}

// sendBatch sends messages, as many as go with one call, and returns how many. The call itself does not wait, so the Go runtime
// is not told of it: it would watch whether it does, and give the processor away meanwhile.
func (s *socket) sendBatch(messages []ipv6.Message, to netip.AddrPort) (sent int, err error) {
	b, ok := s.batches.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	defer s.batches.Put(b)
	b.fill(messages, to, s.v6)
	var errno unix.Errno
	err = s.raw.Write(func(fd uintptr) bool {
		for {
			var n uintptr
			n, _, errno = unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case 0:
				sent = int(n)
				return true
			case unix.EAGAIN:
				return false
			case unix.EINTR:
			default:
				return true
			}
		}
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("sendmmsg", errno)
	}
	return sent, err
}
