// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package control

import "net"

// readSocket waits for a datagram and has it used.
func readSocket(conn net.Conn, use func(payload []byte)) error {
	buffer := datagramBuffers.Get().(*[maxDatagram]byte)
	defer datagramBuffers.Put(buffer)
	n, err := conn.Read(buffer[:])
	if err == nil {
		use(buffer[:n])
	}
	return err
}
