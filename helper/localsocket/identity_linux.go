// SPDX-License-Identifier: Apache-2.0

package localsocket

import (
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the helper listens.
const DefaultPath = "/run/fairlead/helper.sock"

// identify asks the kernel for the credentials that the caller had when it connected (unix(7), SO_PEERCRED and
// SO_PEERGROUPS).
func identify(conn net.Conn) (Identity, error) {
	var cred *unix.Ucred
	var groups []uint32
	err := control(conn, func(fd int) (err error) {
		if cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return fmt.Errorf("read peer credentials: %w", err)
		}
		groups, err = peerGroups(fd)
		return err
	})
	if err != nil {
		return Identity{}, err
	}
	return fromNumbers(cred.Uid, append([]uint32{cred.Gid}, groups...), int(cred.Pid)), nil
}

// peerGroups returns the caller's supplementary groups. Kernels before 4.13 don't know them, and then there are none:
// membership that can't be proved does not count.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups)) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errors.Is(errno, unix.ERANGE) && int(size/4) > len(groups):
			groups = make([]uint32, size/4) // the kernel says how many there are
		case errors.Is(errno, unix.ENOPROTOOPT), errors.Is(errno, unix.ENODATA):
			return nil, nil
		default:
			return nil, fmt.Errorf("read peer groups: %w", errno)
		}
	}
}
