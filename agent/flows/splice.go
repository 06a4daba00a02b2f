// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// Buffers of a direction of a flow, in bytes. A flow that moves little has a small one; a large one is taken when the small
// one was filled, and given back when it was not needed.
const (
	smallBuffer = 2 << 10
	largeBuffer = 64 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// flow is a caller's connection on its way from a sidecar to a laptop.
type flow struct {
	sidecar   *tls.Conn
	batched   *batchConn
	intercept string
	port      Port
	kind      wire.FlowKind

	timer *time.Timer // ends it, if its rule is suspended or gone; guarded by the Server's mu

	mu      sync.Mutex
	laptop  net.Conn // nil until it is reached
	aborted bool
}

func (f *flow) stopTimer() {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
}

// setLaptop notes the connection to the laptop, which is closed if the flow was given up meanwhile.
func (f *flow) setLaptop(conn net.Conn) {
	f.mu.Lock()
	f.laptop = conn
	aborted := f.aborted
	f.mu.Unlock()
	if aborted {
		reset(conn)
	}
}

// abort resets both sides. After an orderly end it does nothing that they notice.
func (f *flow) abort() {
	f.mu.Lock()
	laptop, before := f.laptop, f.aborted
	f.aborted = true
	f.mu.Unlock()
	if before {
		return
	}
	reset(f.sidecar.NetConn())
	if laptop != nil {
		reset(laptop)
	}
}

// carry moves bytes both ways until both directions have ended. The end of one is passed on as such, a reset as a reset.
func (f *flow) carry(counters *counters) {
	var toLaptop error
	var other sync.WaitGroup
	other.Go(func() {
		toLaptop = move(f.laptop, f.sidecar, &counters.toLaptop)
		if toLaptop == nil && f.batched.cut.Load() { // crypto/tls takes it for an orderly end
			toLaptop = io.ErrUnexpectedEOF
		}
		if toLaptop == nil {
			toLaptop = closeWrite(f.laptop)
		}
		if toLaptop != nil {
			f.abort()
		}
	})
	fromLaptop := move(batchWriter{f.sidecar, f.batched}, f.laptop, &counters.fromLaptop)
	if fromLaptop == nil {
		fromLaptop = f.sidecar.CloseWrite()
	}
	if fromLaptop != nil {
		f.abort()
	}
	other.Wait()
	if toLaptop == nil && fromLaptop == nil {
		_ = f.sidecar.NetConn().Close() // all is said in both directions
		_ = f.laptop.Close()
		f.mu.Lock()
		f.aborted = true
		f.mu.Unlock()
	}
}

// move copies until the source's end, which is no error.
func move(to io.Writer, from io.Reader, moved *atomic.Uint64) error {
	small := make([]byte, smallBuffer)
	buffer := small
	var large *[largeBuffer]byte
	defer func() {
		if large != nil {
			largeBuffers.Put(large)
		}
	}()
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
			moved.Add(uint64(n))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case large == nil && n == len(small):
			large = largeBuffers.Get().(*[largeBuffer]byte)
			buffer = large[:]
		case large != nil && n < len(small):
			largeBuffers.Put(large)
			large, buffer = nil, small
		}
	}
}

// reset closes a connection with a RST where it is TCP.
func reset(conn net.Conn) {
	if batched, ok := conn.(*batchConn); ok {
		conn = batched.Conn
	}
	if lingering, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = lingering.SetLinger(0) // fails only when it is closed
	}
	_ = conn.Close()
}

func closeWrite(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection can't be closed one way")
	}
	return half.CloseWrite()
}

// batchConn joins the records that TLS makes of one large write into one write to the network, and knows whether the
// connection was closed without TLS' own goodbye. Its zero value but for Conn writes at once.
type batchConn struct {
	net.Conn
	cut  atomic.Bool // the network's end was reached; after TLS' goodbye nobody reads that far
	mu   sync.Mutex
	held []byte // nil while nothing is held back
	on   bool
}

var batches = sync.Pool{New: func() any { return new([largeBuffer + 1<<10]byte) }}

// Read implements net.Conn.
func (c *batchConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		c.cut.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (c *batchConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

// batch runs write and then sends what it wrote.
func (c *batchConn) batch(write func() error) error {
	array := batches.Get().(*[largeBuffer + 1<<10]byte)
	defer batches.Put(array)
	c.mu.Lock()
	c.held, c.on = array[:0], true
	c.mu.Unlock()
	err := write()
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.held
	c.held, c.on = nil, false
	if _, sendErr := c.Conn.Write(held); err == nil {
		err = sendErr
	}
	return err
}

// batchWriter writes to a TLS connection over a batchConn, which more than one record needs.
type batchWriter struct {
	conn    *tls.Conn
	batched *batchConn
}

const maxRecord = 16 << 10 // bytes in one TLS record (RFC 8446, section 5.1)

// Write implements io.Writer.
func (w batchWriter) Write(b []byte) (int, error) {
	if len(b) <= maxRecord {
		return w.conn.Write(b)
	}
	err := w.batched.batch(func() error {
		_, err := w.conn.Write(b)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}
