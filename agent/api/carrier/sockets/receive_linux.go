// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// readBuffers and readBuffer are how many coalesced datagrams a call may return, and how large they get, in bytes.
	readBuffers = 8
	readBuffer  = 1 << 16
	// controlSize has room for the control message that says how large coalesced datagrams are, in bytes.
	controlSize = 64
)

// receiver receives from one socket. Its own buffers take what the kernel hands over, which may be several datagrams as one,
// so that the caller's are only ever filled with a single datagram.
type receiver struct {
	socket   *socket
	headers  [readBuffers]messageHeader
	vectors  [readBuffers]unix.Iovec
	names    [readBuffers]unix.RawSockaddrInet6 // the larger of the two families'
	control  [readBuffers][controlSize]byte
	contents [readBuffers][]byte

	filled  int // how many of them hold something
	current int // the one being taken apart
	offset  int // how far
}

// messageHeader is struct mmsghdr (recvmmsg(2)).
type messageHeader struct {
	unix.Msghdr
	size uint32
}

func newReceiver(s *socket) *receiver {
	r := &receiver{socket: s}
	for i := range r.headers {
		r.contents[i] = make([]byte, readBuffer)
		r.vectors[i].Base = &r.contents[i][0]
		r.vectors[i].SetLen(readBuffer)
		h := &r.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.vectors[i]
		h.SetIovlen(1)
		h.Control = &r.control[i][0]
	}
	return r
}

func (r *receiver) receive(bufs [][]byte, sizes []int, from []netip.AddrPort) (int, error) {
	if r.current == r.filled {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := 0
	for n < len(bufs) && r.current < r.filled {
		h := &r.headers[r.current]
		whole := r.contents[r.current][:h.size]
		segment := segmentSize(r.control[r.current][:h.Controllen], len(whole))
		if n > 0 && r.offset == 0 && len(whole) > segment*(len(bufs)-n) {
			break // what was sent at once is handed over at once: it may have been one packet
		}
		size := min(segment, len(whole)-r.offset)
		sizes[n] = copy(bufs[n], whole[r.offset:r.offset+size])
		if from != nil {
			from[n] = addressOf(&r.names[r.current])
		}
		n++
		if r.offset += size; r.offset >= len(whole) {
			r.current++
			r.offset = 0
		}
	}
	return n, nil
}

// fill waits for datagrams. The call itself does not wait, so the Go runtime is not told of it: it would watch whether it does,
// and give the processor away meanwhile.
func (r *receiver) fill() error {
	r.current, r.filled, r.offset = 0, 0, 0
	for i := range r.headers {
		r.headers[i].Namelen = unix.SizeofSockaddrInet6
		r.headers[i].SetControllen(controlSize)
	}
	var errno unix.Errno
	err := r.socket.raw.Read(func(fd uintptr) bool {
		for {
			var n uintptr
			n, _, errno = unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), readBuffers, unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case 0:
				r.filled = int(n)
				return true
			case unix.EAGAIN:
				return false
			case unix.EINTR:
			default:
				return true
			}
		}
	})
	if err != nil {
		return err
	}
	if errno != 0 {
		return os.NewSyscallError("recvmmsg", errno)
	}
	return nil
}

// addressOf is where a datagram came from; the larger struct holds either family.
func addressOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port)
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
