// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// spliceFrom is from how many bytes on a body is moved within the kernel: below, the calls cost more than the copying.
const spliceFrom = 64 << 10

var (
	errUnasked    = errors.New("an answer that nobody asked for")
	errHandedOver = errors.New("the connection is served as HTTP/2 now")
)

// answer gives the caller what comes, until nothing comes any more.
func (u *upstream) answer() {
	defer close(u.done)
	defer u.caller.guard()
	for {
		if !u.in.room(u.in.len() >= smallBuffer) {
			u.turnRaw() // a head beyond all bounds
		}
		err := u.step()
		if err != nil {
			if !u.caller.isHTTP2() { // else it is read by another, from where this one stopped
				u.in.free()
				u.end(err)
			}
			return
		}
	}
}

// callerError is an error on the caller's side.
type callerError struct{ error }

// step reads once and gives the caller what it can.
func (u *upstream) step() error {
	c := u.caller
	unread := u.unread
	u.unread = false
	if err := u.settleUnsent(); err != nil {
		return err
	}
	if c.rawFrom(u) {
		return u.copyRaw()
	}
	var err error
	if !unread {
		if _, err = u.in.read(u.conn); u.rest(err) {
			return nil
		}
	}
	if err != nil && u.in.len() == 0 {
		return err
	}
	if c.rawFrom(u) {
		return u.copyRaw()
	}
	if u.rule == nil && !c.spoken() && maySettings(u.in.bytes()) {
		u.holdSettings()
	}
	if u.rule == nil && c.spoken() && c.isHTTP2() {
		return errHandedOver
	}
	n, answered, raw, drop := u.follow(u.in.bytes())
	if drop {
		return errUnasked
	}
	if raw {
		u.turnRaw()
		return u.copyRaw()
	}
	if n > 0 {
		if _, err := c.conn.Write(u.withLast(u.in.bytes()[:n])); err != nil {
			return callerError{err}
		}
		u.in.consume(n)
	}
	if answered > 0 {
		u.answered(answered)
	}
	if err != nil {
		return err
	}
	if u.busy {
		return u.bulk()
	}
	u.in.shrink()
	return nil
}

// follow finds out how many of the bytes can be given to the caller, and how many answers are complete with them. With raw,
// nothing can be said about what comes; with drop, the bytes are not for the caller.
func (u *upstream) follow(b []byte) (n, answered int, raw, drop bool) {
	for n < len(b) {
		if u.busy {
			took, done, err := u.body.Take(b[n:])
			n += took
			if err != nil {
				return n, answered, true, false
			}
			if done {
				u.busy = false
				answered++
			}
			continue
		}
		request, state := u.caller.awaited(u, answered)
		switch state {
		case notAwaited:
			return n, answered, true, false
		case notWanted:
			return n, answered, false, true
		}
		switch http1.ReadResponse(b[n:], &u.head) {
		case http1.Partly:
			return n, answered, len(b)-n > http1.MaxHead, false
		case http1.Invalid:
			return n, answered, true, false
		}
		u.note(request.exchange)
		if u.head.Status == 101 || request.connect && u.head.Status/100 == 2 {
			return n, answered, true, false
		}
		if request.exchange != nil && u.head.Status >= 200 && u.caller.proxy.podEnds.Load() {
			u.makeLast(request.exchange, n+bytes.IndexByte(b[n:], '\n')+1)
		}
		n += u.head.Size
		if u.head.Status < 200 {
			continue
		}
		if u.body = u.head.Body(request.head); u.body.Empty() {
			answered++
		} else {
			u.busy = true
		}
	}
	return n, answered, false, false
}

// note notes what the answer's head says.
func (u *upstream) note(e *exchange) {
	if e == nil {
		return
	}
	u.caller.mu.Lock()
	defer u.caller.mu.Unlock()
	if !e.begun {
		e.begun = true
		u.rule.counts.matched.Add(1)
	}
	e.status = u.head.Status
	e.closes = u.head.Closes
}

// makeLast makes an answer the last one of its connection. Its fields begin at the offset.
func (u *upstream) makeLast(e *exchange, fields int) {
	u.caller.mu.Lock()
	defer u.caller.mu.Unlock()
	if !e.closes {
		e.closes, u.lastAt = true, fields
	}
}

// withLast returns the bytes with what makeLast asked for: RFC 9112, section 9.6.
func (u *upstream) withLast(b []byte) []byte {
	at := u.lastAt
	if at == 0 {
		return b
	}
	u.lastAt = 0
	return slices.Concat(b[:at], []byte("Connection: close\r\n"), b[at:])
}

// bulk moves what is certain to belong to the body.
func (u *upstream) bulk() error {
	c := u.caller
	n := u.body.Bulk()
	if u.tcp == nil || c.tcp == nil || n >= 0 && n < spliceFrom {
		u.in.room(n < 0 || n >= smallBuffer || u.body.IsChunked() && n > 0)
		return nil
	}
	u.in.free()
	c.long.Store(true)
	if n < 0 {
		if _, err := move(c.tcp, u.tcp, n); err != nil {
			return err
		}
		return io.EOF
	}
	moved, err := move(c.tcp, u.tcp, n)
	if u.body.Skip(moved) {
		u.busy = false
		u.answered(1)
	}
	return err
}

// answered notes that answers are complete and have been given to the caller.
func (u *upstream) answered(n int) {
	c := u.caller
	c.mu.Lock()
	defer c.mu.Unlock()
	u.pending = u.pending[:copy(u.pending, u.pending[n:])]
	if c.waiting {
		c.wakeUp()
	}
}

// turnRaw gives up reading answers: from now on all bytes go between this upstream and the caller.
func (u *upstream) turnRaw() {
	c := u.caller
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.raw {
		c.raw, c.active = true, u
		c.wakeUp()
	}
}

// copyRaw gives the caller all that comes.
func (u *upstream) copyRaw() error {
	c := u.caller
	if b := u.in.bytes(); len(b) > 0 {
		if _, err := c.conn.Write(b); err != nil {
			return callerError{err}
		}
	}
	u.in.free()
	if err := copyBytes(c.conn, u.conn); err != nil {
		return err
	}
	return io.EOF
}

type expectation uint8

const (
	isAwaited  expectation = iota
	notAwaited             // but the upstream may speak
	notWanted              // another upstream is to be heard
)

// awaited is the request that the next answer after answered others belongs to.
func (c *caller) awaited(u *upstream, answered int) (asked, expectation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered < len(u.pending) {
		return u.pending[answered], isAwaited
	}
	if c.active == u && u.rule == nil {
		return asked{}, notAwaited
	}
	return asked{}, notWanted
}

// rawFrom reports whether all that comes from the upstream is for the caller.
func (c *caller) rawFrom(u *upstream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw && c.active == u
}

// holdSettings keeps an app's first SETTINGS until it is known whether the caller speaks HTTP/2.
func (u *upstream) holdSettings() {
	select {
	case <-u.caller.decided:
	case <-u.gone:
	}
}
