// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"io"
	"net"
	"syscall"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

// source reads a connection into buffers that it takes only when there is something to read.
type source struct {
	conn net.Conn
	raw  syscall.RawConn // nil if the connection has no descriptor
}

func newSource(conn net.Conn) source {
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return source{conn: conn, raw: raw}
		}
	}
	return source{conn: conn}
}

// read returns a buffer from pumpBuffers, or nil, and how much of it is filled, at most limit. At the end it returns io.EOF.
func (s source) read(limit int) (n int, array *[pumpBuffer]byte, err error) {
	if s.raw == nil {
		array = pumpBuffers.Get().(*[pumpBuffer]byte)
		n, err = s.conn.Read(array[:limit])
		return n, array, err
	}
	var readErr error
	err = s.raw.Read(func(fd uintptr) bool {
		array = pumpBuffers.Get().(*[pumpBuffer]byte)
		if n, readErr = sockets.ReadNow(fd, array[:limit]); readErr == syscall.EAGAIN {
			pumpBuffers.Put(array)
			array = nil
			return false
		}
		return true
	})
	switch {
	case err != nil:
		return 0, array, err
	case readErr != nil:
		return 0, array, readErr
	case n == 0:
		return 0, array, io.EOF
	}
	return n, array, nil
}

// readDatagram is read for sockets on which an empty message is no end.
func (s source) readDatagram() (n int, array *[pumpBuffer]byte, err error) {
	n, array, err = s.read(pumpBuffer)
	if s.raw != nil && err == io.EOF {
		err = nil
	}
	return n, array, err
}
