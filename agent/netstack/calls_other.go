// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netstack

import "syscall"

// readNow reads what is there; syscall.EAGAIN if there is nothing.
func readNow(fd uintptr, into []byte) (int, error) {
	for {
		if n, err := syscall.Read(int(fd), into); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// writeNow writes as much as there is room for; syscall.EAGAIN if there is none.
func writeNow(fd uintptr, data []byte) (int, error) {
	for {
		if n, err := syscall.Write(int(fd), data); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
