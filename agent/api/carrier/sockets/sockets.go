// SPDX-License-Identifier: Apache-2.0

// Package sockets is the sockets at both ends of the tunnel: for UDP one for each address family, moving many datagrams with one
// call where the system can (Sockets); for streams, connections whose calls the Go runtime does not watch (Unwatched), and moving
// bytes from one to another within the kernel (MoveBytes).
//
// Both ends send and receive in the same way; that is why it is beside the wire format, which is the one place that the
// privileged helper and the in-cluster agent share. It must not know what a datagram is, nor who is at the other end.
package sockets

import (
	"errors"
	"net/netip"
)

// BufferSize is how much the sockets may hold in each direction, in bytes, if the system allows it; what wireguard-go asks for.
const BufferSize = 7 << 20

// Receive fills bufs and sizes with datagrams, and from with where each came from, unless that is nil. It returns how many;
// after Close net.ErrClosed. It is for one goroutine.
type Receive func(bufs [][]byte, sizes []int, from []netip.AddrPort) (int, error)

// TooLargeError says that a datagram did not fit the path.
type TooLargeError struct {
	Size int // bytes of the datagram
	Err  error
}

func (e *TooLargeError) Error() string { return e.Err.Error() }

// Unwrap returns what the system said.
func (e *TooLargeError) Unwrap() error { return e.Err }

// ErrNoFamily says that the machine has no socket for the address family of the other end.
var ErrNoFamily = errors.New("this machine has no IPv4 or IPv6 to reach the endpoint by")

// portTries is how many ports of the system's choice are tried for one that is free in both families.
const portTries = 16
