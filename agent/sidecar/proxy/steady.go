// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

const (
	// settleAfter is how many requests in a row must have gone to the app, each in an ordinary way, before an event loop takes
	// the connection over. Each time it is about twice as many, up to settleAtMost, because to change hands costs as much as some
	// requests do.
	settleAfter  = 2
	settleAtMost = 63
)

// sides of a steady connection.
const (
	callerSide = iota
	appSide
)

// steady is a caller's connection in its most frequent state: requests of HTTP/1.x that go to the app, one after the other,
// and their answers. An event loop forwards those without waking a goroutine. Whatever else comes it leaves alone, and gives
// the connection back to the goroutines, serve and answer, which wait meanwhile; everything that they know about the
// connection is where they would look for it.
//
// Its fields belong to the loop until left is closed, then to serve.
type steady struct {
	caller *caller
	app    *upstream
	loop   *loop
	slot   int
	fds    [2]int        // of the sides
	body   http1.Body    // of the request on its way
	unsent [2][]byte     // what a side, which takes nothing more, has not taken
	queued [2]bool       // bytes for a side wait for the loop's next flush
	owed   int           // answers that are complete with what the caller has not taken
	err    error         // why the connection is to be reset
	going  bool          // the loop gives it back
	asked  bool          // someone wants it back; guarded by loop.mu
	left   chan struct{} // closed when it has
}

// mayBeSteady reports whether the request that has just been read is one of a row of ordinary ones, all answered.
func (s *session) mayBeSteady() bool {
	if s.long.Swap(false) {
		s.calm = 0
	}
	if s.calm < s.settleAfter {
		return false
	}
	u := s.activeUpstream()
	return u != nil && u.rule == nil && !s.hasPending(u, 1)
}

// settle lets an event loop serve the connection for as long as it is steady. It reports whether requests can follow.
func (s *session) settle() bool {
	s.calm, s.settleAfter = 0, min(2*s.settleAfter+1, settleAtMost)
	u := s.activeUpstream()
	if !u.pause() {
		return true
	}
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			u.resume <- struct{}{}
		}
	}
	defer resume()
	f := &steady{caller: s.caller, app: u, left: make(chan struct{})}
	if !s.hand(f) {
		u.setDeadline(time.Time{})
		return true
	}
	f.loop.add(f)
	<-f.left
	s.take(f)
	if f.err != nil {
		s.abort()
		return false
	}
	u.unsent, u.owed, u.unread = f.unsent[callerSide], f.owed, true
	resume() // before anything that may wait: the app may take no more before its answers are taken
	if b := f.unsent[appSide]; len(b) > 0 {
		if _, err := u.conn.Write(b); err != nil {
			s.drainUntil(u)
			return false
		}
	}
	if f.body.Finished() {
		return true
	}
	return s.sentToApp(u, s.sendRest(&transfer{to: u, body: f.body}))
}

// hand gives the sockets to f. From here on nothing may touch the connections that had them. It reports false if the
// connection is not to be handed over.
func (s *session) hand(f *steady) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := f.app
	if s.closing || s.aborted || s.raw || s.eof || s.active != u || u.ended || u.closed || s.port.rules.Load().released {
		return false
	}
	if f.loop = leastLoop(); f.loop == nil {
		return false
	}
	fds, err := detach(s.tcp, u.tcp)
	if err != nil {
		return false
	}
	f.fds = fds
	s.steady = f
	return true
}

// take makes connections of f's sockets again. Where that fails, f.err says why.
func (s *session) take(f *steady) {
	caller, err := attach(f.fds[callerSide])
	app, appErr := attach(f.fds[appSide])
	if failed := errors.Join(err, appErr); failed != nil { // such as too many open files
		f.err = failed
	}
	s.mu.Lock()
	u := f.app
	if err == nil {
		s.conn, s.tcp = caller, caller
	}
	if appErr == nil {
		u.conn, u.tcp = app, app
	}
	s.steady, s.woken = nil, false
	aborted, closed := s.aborted, u.closed
	s.mu.Unlock()
	switch {
	case aborted:
		reset(s.conn)
		reset(u.conn)
	case closed:
		_ = u.conn.Close()
	}
}

// pausing is how serve and answer agree that answer rests: serve asks, answer says whether it does, and rests until it is told
// to resume. What serve leaves here for it counts then.
type pausing struct {
	asked  atomic.Bool
	rests  chan bool
	resume chan struct{}
	unread bool   // there are bytes that nobody has looked at, or a long body: the next step comes without a read
	unsent []byte // for the caller, before anything else
	owed   int    // answers that are complete with them
}

func newPausing() pausing {
	return pausing{rests: make(chan bool, 1), resume: make(chan struct{}, 1)}
}

// pause has answer rest, which waits for bytes. It reports false if that is not to be: some came.
func (u *upstream) pause() bool {
	if u.await() != nil {
		return false
	}
	c := u.caller
	c.mu.Lock()
	if u.rule != nil || u.tcp == nil || c.tcp == nil || u.ended || u.closed {
		c.mu.Unlock()
		return false
	}
	u.asked.Store(true)
	_ = u.conn.SetReadDeadline(time.Unix(1, 0))
	c.mu.Unlock()
	select {
	case rests := <-u.rests:
		return rests
	case <-u.done:
		return false
	}
}

// rest is what answer does after a read, if it was asked to. It reports whether there was nothing to read.
func (u *upstream) rest(err error) bool {
	if !u.asked.Load() {
		return false
	}
	u.caller.mu.Lock()
	u.asked.Store(false)
	rests := isDeadline(err)
	if !rests {
		_ = u.conn.SetReadDeadline(time.Time{})
	}
	u.caller.mu.Unlock()
	u.rests <- rests
	if rests {
		<-u.resume
	}
	return rests
}

// settleUnsent gives the caller what an event loop could not.
func (u *upstream) settleUnsent() error {
	if len(u.unsent) > 0 {
		if _, err := u.caller.conn.Write(u.unsent); err != nil {
			return callerError{err}
		}
		u.unsent = nil
	}
	if u.owed > 0 {
		u.answered(u.owed)
		u.owed = 0
	}
	return nil
}

// requests says how many of the bytes from the caller the app is to get, and whether what comes then is for serve.
func (f *steady) requests(b []byte, head *http1.Request, d *decision) (n int, leave bool) {
	c := f.caller
	for n < len(b) {
		if !f.body.Finished() {
			took, _, err := f.body.Take(b[n:])
			n += took
			if err != nil {
				return n, true
			}
			continue
		}
		switch http1.ReadRequest(b[n:], head) {
		case http1.Partly:
			return n, len(b)-n >= http1.MaxHead
		case http1.Invalid:
			return n, true
		}
		if head.Upgrade || isMethod(head.Method, "CONNECT") {
			return n, true
		}
		c.port.rules.Load().decide(d, head.Probe, head.Path, head.Fields)
		if d.rule != nil || len(d.mirrors) > 0 || c.hasPending(f.app, maxPending) {
			return n, true
		}
		d.count()
		f.app.expect(asked{head: isMethod(head.Method, "HEAD")})
		f.body = head.Body()
		n += head.Size
	}
	return n, f.body.Bulk() >= spliceFrom
}

// answers does so for bytes from the app, and says how many answers are complete with them.
func (f *steady) answers(b []byte) (n, complete int, leave bool) {
	u := f.app
	n, complete, raw, drop := u.follow(b)
	long := false
	if u.busy {
		bulk := u.body.Bulk()
		long = bulk < 0 || bulk >= spliceFrom
	}
	return n, complete, raw || drop || long
}

// giveBack asks the loop for the connection. c.mu is held.
func (c *caller) giveBack() {
	if c.steady != nil {
		c.steady.loop.ask(c.steady)
	}
}

func (u *upstream) setDeadline(t time.Time) {
	u.caller.mu.Lock()
	defer u.caller.mu.Unlock()
	_ = u.conn.SetReadDeadline(t)
}
