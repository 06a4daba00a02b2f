// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"net"
	"net/netip"
)

const (
	// socketBuffer is how much the UDP sockets may hold in each direction, in bytes; what wireguard-go asks for.
	socketBuffer = 7 << 20
	// socketBufferNote is below which size of the receive buffer people are told, in bytes.
	socketBufferNote = 1 << 20
)

// udpSockets are the laptop's UDP sockets, one for each address family, on ports of the system's choice. The operating
// systems differ in how many datagrams a call moves. Methods may be called at the same time.
type udpSockets interface {
	// receivers returns one function per socket. Each fills bufs and sizes and returns how many; after close it
	// returns net.ErrClosed.
	receivers() []func(bufs [][]byte, sizes []int) (int, error)

	// send sends datagrams to one endpoint. A datagram that is too large to leave unfragmented is reported as
	// *tooLargeError, after the others were sent.
	send(datagrams [][]byte, to netip.AddrPort) error

	// sendUnbroken sends one datagram that may not be fragmented on the way, whatever was told to setFragment.
	sendUnbroken(datagram []byte, to netip.AddrPort) error

	// setFragment says whether datagrams may be fragmented.
	setFragment(allowed bool)

	// receiveBuffer is the size of the smallest receive buffer, in bytes; 0 if it is not known.
	receiveBuffer() int

	// port is the local port of the sockets.
	port() uint16

	close() error
}

// tooLargeError says that a datagram did not fit the path.
type tooLargeError struct {
	size int // bytes of the datagram
	err  error
}

func (e *tooLargeError) Error() string { return e.err.Error() }
func (e *tooLargeError) Unwrap() error { return e.err }

// errNoFamily says that the machine has no socket for the endpoint's address family.
var errNoFamily = errors.New("this machine has no IPv4 or IPv6 to reach the endpoint by")

// reason returns why sending failed in words for people: the innermost error, without addresses.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
