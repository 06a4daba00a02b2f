// SPDX-License-Identifier: Apache-2.0

package control

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// network is a connection that knows whether its end was reached. TLS stops reading at the other end's goodbye, so
// whoever sees the end of the network saw none.
type network struct {
	net.Conn
	ended atomic.Bool
}

// Read implements net.Conn.
func (n *network) Read(b []byte) (int, error) {
	count, err := n.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		n.ended.Store(true)
	}
	return count, err
}

// flowConn is a flow's TLS connection that tells an end without goodbye, as when the gateway was killed, from an orderly
// one. crypto/tls does not, and an answer that was cut off would look whole.
type flowConn struct {
	*tls.Conn
	network *network
}

// Read implements net.Conn.
func (c flowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF && c.network.ended.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
