// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// maxPending bounds the requests of one caller that are sent ahead without an answer.
const maxPending = 64

// asked is a request whose answer is awaited.
type asked struct {
	head, connect bool // methods whose answers have no body, or are no answers
	exchange      *exchange
}

// exchange is a request that went to a laptop, and what became of it. It is guarded by caller.mu.
type exchange struct {
	status int
	begun  bool // a byte of the answer has reached the caller
	closes bool // the answer said or implied that it is the last one
	failed bool // the connection ended before the answer was complete
	// repeatable: the request may be sent to the app if no answer has begun.
	repeatable bool
}

// upstream is a connection to the app or to a laptop. Its own goroutine, answer, gives the caller what comes from it.
type upstream struct {
	caller *caller
	rule   *rule // nil for the app
	ready  chan struct{}
	gone   chan struct{} // closed when nobody needs the connection any more
	done   chan struct{} // closed when answer has returned
	conn   net.Conn      // valid once ready is closed and err is nil
	tcp    *net.TCPConn  // conn, where bytes can be moved within the kernel
	err    error

	// Of answer alone.
	in   buffer
	head http1.Response
	body http1.Body
	busy bool // within a body
	// lastAt is where, in the bytes for the caller, a field goes in that says that this is the last answer; 0: nowhere.
	lastAt int
	pausing

	// Guarded by caller.mu.
	pending []asked
	ended   bool // nothing more comes
	unheard bool // and when it ended nobody waited for it, so that nobody was told
	closed  bool
	lastUse time.Time // of a laptop's
}

func newUpstream(c *caller, r *rule) *upstream {
	return &upstream{caller: c, rule: r, ready: make(chan struct{}), gone: make(chan struct{}), done: make(chan struct{}), pausing: newPausing()}
}

// connected says how connecting went.
func (u *upstream) connected(conn net.Conn, err error) {
	c := u.caller
	c.mu.Lock()
	u.conn, u.err = conn, err
	u.tcp, _ = conn.(*net.TCPConn)
	closed, aborted := u.closed, c.aborted
	if err != nil {
		u.ended = true
	}
	c.mu.Unlock()
	if err == nil && aborted {
		reset(conn)
	} else if err == nil && closed {
		_ = conn.Close()
	}
	close(u.ready)
	if err != nil {
		close(u.done)
	}
}

// await returns when the connection is there, or why it is not.
func (u *upstream) await() error {
	<-u.ready
	return u.err
}

// close closes the connection, now or when it is there.
func (u *upstream) close() {
	if conn := u.shut(); conn != nil {
		_ = conn.Close()
	}
}

func (u *upstream) abort() {
	if conn := u.shut(); conn != nil {
		reset(conn)
	}
}

// shut notes that nobody needs the connection, and returns it if it is there.
func (u *upstream) shut() net.Conn {
	u.caller.mu.Lock()
	defer u.caller.mu.Unlock()
	return u.shutLocked()
}

// shutLocked is shut. caller.mu is held.
func (u *upstream) shutLocked() net.Conn {
	if !u.closed {
		u.closed = true
		close(u.gone)
	}
	return u.conn
}

// closeWrite says that the caller has sent everything.
func (u *upstream) closeWrite() {
	if u.await() != nil {
		return
	}
	if conn, ok := u.conn.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite()
	}
}

// expect notes a request before it is sent. It reports false if the connection has ended unheard: then another is to be asked.
func (u *upstream) expect(a asked) bool {
	u.caller.mu.Lock()
	defer u.caller.mu.Unlock()
	if u.unheard || u.closed {
		return false
	}
	u.expectLocked(a)
	return true
}

// expectLocked is expect for a connection that has not ended. caller.mu is held.
func (u *upstream) expectLocked(a asked) {
	u.pending = append(u.pending, a)
	u.caller.active = u
}

// end deals with the end of the connection.
func (u *upstream) end(err error) {
	c := u.caller
	var side callerError
	plain := errors.Is(err, io.EOF)
	c.mu.Lock()
	u.ended = true
	if c.aborted || u.closed {
		c.mu.Unlock()
		return
	}
	if errors.As(err, &side) {
		c.mu.Unlock()
		c.abort()
		return
	}
	var e *exchange
	if len(u.pending) > 0 {
		e = u.pending[0].exchange
	}
	switch {
	case c.active != u || u.rule != nil && !c.raw && e == nil:
		// Nobody waits for it. The next request makes a new one.
		u.unheard = true
		go u.close()
	case e != nil && !c.raw:
		// serve waits for it and decides.
		if plain && u.busy && u.body.EndsWithConnection() {
			e.closes = true
			u.pending = u.pending[:0]
		} else {
			e.failed = true
		}
	case !plain:
		c.mu.Unlock()
		c.abort()
		return
	case c.raw:
		if conn, ok := c.conn.(interface{ CloseWrite() error }); ok {
			_ = conn.CloseWrite()
		}
	default:
		c.endLocked()
	}
	if c.waiting {
		c.wakeUp()
	}
	c.mu.Unlock()
}

// endLocked tells the caller that nothing more comes, and lets serve throw away what the caller still sends, for a while.
// c.mu is held.
func (c *caller) endLocked() {
	if c.closing {
		return
	}
	c.closing = true
	if conn, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite()
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(lingerTime))
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
