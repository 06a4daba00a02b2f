// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"io"
	"net"
	"os"
	"syscall"
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

// read returns a buffer from pumpBuffers, or nil, and how much of it is filled. At the end it returns io.EOF.
func (s source) read() (n int, array *[pumpBuffer]byte, err error) {
	if s.raw == nil {
		array = pumpBuffers.Get().(*[pumpBuffer]byte)
		n, err = s.conn.Read(array[:])
		return n, array, err
	}
	var readErr error
	err = s.raw.Read(func(fd uintptr) bool {
		array = pumpBuffers.Get().(*[pumpBuffer]byte)
		if n, readErr = readNow(fd, array[:]); readErr == syscall.EAGAIN {
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
	n, array, err = s.read()
	if s.raw != nil && err == io.EOF {
		err = nil
	}
	return n, array, err
}

// sink writes to a connection.
type sink struct {
	conn net.Conn
	raw  syscall.RawConn // nil if the connection has no descriptor
}

func newSink(conn net.Conn) sink {
	return sink(newSource(conn))
}

// write writes all of data, waiting for room.
func (s sink) write(data []byte) error {
	if s.raw == nil {
		_, err := s.conn.Write(data)
		return err
	}
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		for len(data) > 0 {
			n, err := writeNow(fd, data)
			if err == syscall.EAGAIN {
				return false
			}
			if err != nil {
				failed = os.NewSyscallError("write", err)
				return true
			}
			data = data[n:]
		}
		return true
	})
	if err != nil {
		return err
	}
	return failed
}
