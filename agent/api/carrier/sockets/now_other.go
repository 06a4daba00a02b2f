// SPDX-License-Identifier: Apache-2.0

//go:build !linux && !windows

package sockets

import "syscall"

// ReadNow reads what is there; syscall.EAGAIN if there is nothing.
func ReadNow(fd uintptr, into []byte) (int, error) {
	for {
		if n, err := syscall.Read(int(fd), into); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// WriteNow writes as much as there is room for; syscall.EAGAIN if there is none.
func WriteNow(fd uintptr, data []byte) (int, error) {
	for {
		if n, err := syscall.Write(int(fd), data); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
