// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// carry copies both ways until both have ended. The end of one direction is passed on as such; anything else that ends a
// connection resets the other.
func carry(gateway, local net.Conn) {
	keepAliveOn(local)
	done := make(chan bool, 2)
	go func() { done <- pass(local, gateway) }()
	go func() { done <- pass(gateway, local) }()
	for range 2 {
		if !<-done {
			reset(gateway)
			reset(local)
		}
	}
}

// pass copies one direction, and its end. It reports whether the end was an orderly one.
func pass(to, from net.Conn) bool {
	if _, err := io.Copy(to, from); err != nil { // splices in the kernel where it can
		return false
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite() == nil
	}
	return true
}

// carryCopy gives the program a copy of what a caller sends, and throws away what it answers.
func carryCopy(gateway, local net.Conn) {
	keepAliveOn(local)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(io.Discard, local)
	}()
	if pass(local, gateway) {
		_ = local.SetReadDeadline(time.Now().Add(mirrorLinger))
	} else {
		reset(local)
	}
	<-answered
}

// mirrorLinger is how long a program may go on answering a copied request that has ended.
const mirrorLinger = 30 * time.Second

// reset ends a connection so that the other end notices that it did not end in order.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func keepAliveOn(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive)
	}
}

// maxDatagram is the largest payload of a UDP datagram, in bytes (RFC 768).
const maxDatagram = 65507

// errTooLong says that a length on a datagram flow is none.
var errTooLong = errors.New("datagram is longer than UDP allows")

// carryDatagrams carries datagrams between their framing on the flow, two bytes of length each, and a UDP socket.
func carryDatagrams(gateway, local net.Conn, discard bool) {
	go func() {
		defer local.Close() // which ends the other direction
		buffer := make([]byte, maxDatagram)
		for {
			n, err := readDatagram(gateway, buffer)
			if err != nil {
				return
			}
			if _, err := local.Write(buffer[:n]); errors.Is(err, net.ErrClosed) {
				return // any other error is of an earlier datagram, such as a program that is being restarted
			}
		}
	}()
	buffer := make([]byte, 2+maxDatagram)
	for {
		n, err := local.Read(buffer[2:])
		if isRefused(err) && discard {
			continue
		}
		// Where the program is gone, the flow ends, too: the client's next datagram opens another one, and that the app gets.
		if err != nil {
			break
		}
		if discard {
			continue
		}
		binary.BigEndian.PutUint16(buffer, uint16(n))
		if _, err := gateway.Write(buffer[:2+n]); err != nil {
			break
		}
	}
	_ = gateway.Close()
	_ = local.Close()
}

// readDatagram reads one datagram of a flow.
func readDatagram(flow io.Reader, buffer []byte) (int, error) {
	var length [2]byte
	if _, err := io.ReadFull(flow, length[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > len(buffer) {
		return 0, errTooLong
	}
	return io.ReadFull(flow, buffer[:n])
}
