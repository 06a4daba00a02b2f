// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendOne sends one datagram: what small requests and their answers are, one after the other. The call never waits, so the
// Go runtime is not told of it: it would watch whether it does, and give the processor away meanwhile.
func (s *socket) sendOne(datagram []byte, to netip.AddrPort) error {
	address, size := socketAddress(to, s.v6)
	var errno unix.Errno
	err := s.raw.Write(func(fd uintptr) bool {
		for {
			_, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(datagram))), uintptr(len(datagram)), 0,
				uintptr(unsafe.Pointer(&address)), size)
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return err
	case errno == 0, errno == unix.ENOBUFS: // the network card's queue is full: lost, as on any network
		return nil
	case IsTooLarge(errno):
		return &TooLargeError{Size: len(datagram), Err: errno}
	}
	return os.NewSyscallError("sendto", errno)
}

// socketAddress is an address without a zone as the kernel has it, and its size in bytes: the larger struct holds either.
func socketAddress(to netip.AddrPort, v6 bool) (address unix.RawSockaddrInet6, size uintptr) {
	var port uint16 // in network order
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&port))[:], to.Port())
	if v6 {
		return unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: to.Addr().As16()}, unix.SizeofSockaddrInet6
	}
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(&address)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: to.Addr().Unmap().As4()}
	return address, unix.SizeofSockaddrInet4
}
