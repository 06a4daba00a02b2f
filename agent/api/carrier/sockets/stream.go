// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package sockets

import (
	"io"
	"net"
	"os"
	"syscall"
)

// Unwatched returns a connection whose reads and writes the Go runtime does not watch: they never wait, so there is nothing to
// give the processor away for. One that has no descriptor is returned as it is. All else goes to conn, deadlines too.
func Unwatched(conn net.Conn) net.Conn {
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return &unwatched{Conn: conn, raw: raw}
		}
	}
	return conn
}

type unwatched struct {
	net.Conn
	raw syscall.RawConn
}

func (u *unwatched) Read(p []byte) (n int, err error) {
	var failed error
	err = u.raw.Read(func(fd uintptr) bool {
		n, failed = ReadNow(fd, p)
		return failed != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, os.NewSyscallError("read", failed)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func (u *unwatched) Write(p []byte) (n int, err error) {
	var failed error
	err = u.raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			var some int
			some, failed = WriteNow(fd, p[n:])
			if failed != nil {
				return failed != syscall.EAGAIN
			}
			n += some
		}
		return true
	})
	if err == nil && failed != nil {
		err = os.NewSyscallError("write", failed)
	}
	return n, err
}

// SyscallConn is that of the connection.
func (u *unwatched) SyscallConn() (syscall.RawConn, error) { return u.raw, nil }
