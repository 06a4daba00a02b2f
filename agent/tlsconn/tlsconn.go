// SPDX-License-Identifier: Apache-2.0

// Package tlsconn is the TLS connection between a sidecar and the gateway, as flows need it: crypto/tls' own, but an end of
// the network without TLS' goodbye is not taken for the end of what the other side has to say, and large amounts cost few
// system calls.
//
// It owns that, for both ends. Who may connect, and what is said, is not its business.
package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

const (
	// maxRecord is what one TLS record holds at most, in bytes (RFC 8446, section 5.1).
	maxRecord = 16 << 10

	// bulk is how much is written to and read from the network at a time in bytes, when there is much.
	bulk = 64 << 10

	// overhead is more than TLS adds to a bulk of data: per record 5 bytes of header, 16 of the authentication code and 1 of type.
	overhead = 1 << 10
)

var bulks = sync.Pool{New: func() any { return new([bulk + overhead]byte) }}

// Conn is a TLS connection. Its methods may be called as those of tls.Conn.
type Conn struct {
	*tls.Conn
	network *network
	large   sync.Mutex // held while a large write is under way
}

// Server returns the server's end over a connection.
func Server(conn net.Conn, config *tls.Config) *Conn {
	n := newNetwork(conn)
	return &Conn{Conn: tls.Server(n, config), network: n}
}

// Client returns the client's end over a connection.
func Client(conn net.Conn, config *tls.Config) *Conn {
	n := newNetwork(conn)
	return &Conn{Conn: tls.Client(n, config), network: n}
}

// NetConn returns the connection that it was made of.
func (c *Conn) NetConn() net.Conn { return c.network.Conn }

// Read implements net.Conn. At the end it returns io.EOF only if the other side said that it is; otherwise
// io.ErrUnexpectedEOF, as when the other side was killed. It returns as much as b takes of what has arrived; if the last of that
// is a part of a record, the rest of it, which was sent with it, is waited for.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for err == nil && n < len(b) && (c.network.waiting() > 0 || c.network.records.within()) {
		var more int
		more, err = c.Conn.Read(b[n:])
		n += more
	}
	if n > 0 {
		return n, nil // an error comes again
	}
	if err == io.EOF && c.network.ended.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	if len(b) <= maxRecord {
		return c.Conn.Write(b)
	}
	if err := c.Handshake(); err != nil { // what that writes must not be held back
		return 0, err
	}
	c.large.Lock()
	defer c.large.Unlock()
	written := 0
	for written < len(b) {
		piece := b[written:min(written+bulk, len(b))]
		if err := c.network.batch(func() error {
			_, err := c.Conn.Write(piece)
			return err
		}); err != nil {
			return written, err
		}
		written += len(piece)
	}
	return written, nil
}

// Reset closes the connection without a goodbye, by a RST where it is TCP: the other side is to take it for broken off.
func (c *Conn) Reset() { Reset(c.network.Conn) }

// Reset closes a connection by a RST where it is TCP.
func Reset(conn net.Conn) {
	if lingering, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = lingering.SetLinger(0) // fails only when it is closed
	}
	_ = conn.Close()
}

// network is what crypto/tls reads from and writes to.
type network struct {
	net.Conn
	quick net.Conn    // the same for reading and writing, whose calls the Go runtime does not watch
	ended atomic.Bool // its end was reached; after a goodbye nobody reads that far

	// What was read beyond what TLS asked for. Only TLS reads, one call at a time.
	ahead       *[bulk + overhead]byte // nil while there is nothing
	first, last int
	much        bool    // the last read brought as much as it could
	records     records // of what TLS was given

	mu    sync.Mutex
	joins bool // writes are held back
	held  []byte
}

func newNetwork(conn net.Conn) *network { return &network{Conn: conn, quick: sockets.Unwatched(conn)} }

// Read implements net.Conn.
func (n *network) Read(b []byte) (int, error) {
	count, err := n.take(b)
	n.records.pass(b[:count])
	return count, err
}

func (n *network) take(b []byte) (int, error) {
	if n.ahead == nil {
		if !n.much {
			count, err := n.read(b)
			n.much = count == len(b) && count >= maxRecord
			return count, err
		}
		n.ahead = bulks.Get().(*[bulk + overhead]byte)
		count, err := n.read(n.ahead[:])
		n.first, n.last = 0, count
		n.much = count >= maxRecord
		if err != nil {
			n.release()
			return 0, err
		}
	}
	count := copy(b, n.ahead[n.first:n.last])
	if n.first += count; n.first == n.last {
		n.release()
	}
	return count, nil
}

// waiting returns how many bytes can be read without asking the network. It belongs to who reads.
func (n *network) waiting() int {
	if n.ahead == nil {
		return 0
	}
	return n.last - n.first
}

func (n *network) read(b []byte) (int, error) {
	count, err := n.quick.Read(b)
	if errors.Is(err, io.EOF) {
		n.ended.Store(true)
	}
	if count > 0 {
		err = nil // it comes again
	}
	return count, err
}

func (n *network) release() {
	bulks.Put(n.ahead)
	n.ahead = nil
}

// Write implements net.Conn.
func (n *network) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.joins {
		return n.quick.Write(b)
	}
	n.held = append(n.held, b...)
	return len(b), nil
}

// batch runs write, and sends what it wrote in one piece. One may run at a time.
func (n *network) batch(write func() error) error {
	array := bulks.Get().(*[bulk + overhead]byte)
	defer bulks.Put(array)
	n.mu.Lock()
	n.held, n.joins = array[:0], true
	n.mu.Unlock()
	err := write()
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.held
	n.held, n.joins = nil, false
	if _, sendErr := n.quick.Write(held); err == nil {
		err = sendErr
	}
	return err
}

// records follows where in a stream of TLS records one ends (RFC 8446, section 5.1). Its zero value is at the beginning of one.
type records struct {
	head [recordHead]byte
	read int // bytes of the head
	left int // bytes of the record, when its head is read
}

const recordHead = 5

// pass says that bytes of the stream went by.
func (r *records) pass(b []byte) {
	for len(b) > 0 {
		if r.read < recordHead {
			n := copy(r.head[r.read:], b)
			r.read += n
			b = b[n:]
			if r.read < recordHead {
				return
			}
			r.left = int(r.head[3])<<8 | int(r.head[4])
		}
		n := min(r.left, len(b))
		r.left -= n
		b = b[n:]
		if r.left == 0 {
			r.read = 0
		}
	}
}

// within reports whether a record has begun and not ended: the rest of it is on its way, and does not depend on anything else.
func (r *records) within() bool { return r.read > 0 }
