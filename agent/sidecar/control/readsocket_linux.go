// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// readSocket waits for a datagram and has it used. It needs memory only when there is one.
func readSocket(conn net.Conn, use func(payload []byte)) error {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("not a socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("read a datagram: %w", err)
	}
	var received error
	err = raw.Read(func(descriptor uintptr) bool {
		buffer := datagramBuffers.Get().(*[maxDatagram]byte)
		defer datagramBuffers.Put(buffer)
		n, err := unix.Read(int(descriptor), buffer[:])
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Read(int(descriptor), buffer[:])
		}
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if received = err; err == nil {
			use(buffer[:n])
		}
		return true
	})
	return errors.Join(err, received)
}
