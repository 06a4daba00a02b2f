// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// maxKept bounds what is kept of a request so that it can be sent again, in bytes.
const maxKept = 64 << 10

// session serves the HTTP/1.x requests of one caller, one after the other. It belongs to the caller's goroutine.
type session struct {
	*caller
	head     http1.Request
	decision decision
	mirrors  map[*counts]*mirror
	kept     []byte
	scratch  []byte
	// calm is how many requests in a row were ordinary, settleAfter how many must be.
	calm, settleAfter int
}

// outcome says how far the sending of a request got.
type outcome uint8

const (
	sent         outcome = iota
	callerEnded          // the caller ended in the middle of it
	upstreamGone         // the other end took no more
	unreadable           // it can't be told where its body ends
)

func (c *caller) serveHTTP1() {
	s := &session{caller: c, settleAfter: c.proxy.settleAfter}
	defer s.closeMirrors()
	for s.readHead() && s.route() {
	}
}

// readHead reads the next request's head. It reports false after it has dealt with everything else that can come.
func (s *session) readHead() bool {
	for {
		if s.isRaw() {
			s.pass(s.activeUpstream())
			return false
		}
		switch http1.ReadRequest(s.in.bytes(), &s.head) {
		case http1.Whole:
			if !s.mayBeSteady() {
				return true
			}
			if !s.settle() {
				return false
			}
			continue
		case http1.Invalid:
			s.passUnread()
			return false
		}
		if s.in.len() == 0 {
			s.in.shrink()
			s.between.Store(true)
		}
		err := s.read(s.in.len() > 0 && s.in.w == len(s.in.b))
		s.between.Store(false)
		switch {
		case err == nil:
			if s.isClosing() {
				s.drain()
				return false
			}
		case errors.Is(err, io.ErrShortBuffer):
			s.passUnread()
			return false
		default:
			s.ended()
			return false
		}
	}
}

// ended deals with a caller who sends nothing more.
func (s *session) ended() {
	u := s.activeUpstream()
	if s.isClosing() || u.rule != nil || u.await() != nil {
		return
	}
	if s.in.len() > 0 { // an unfinished head is the app's to judge
		_, _ = u.conn.Write(s.in.bytes())
	}
	u.closeWrite()
	<-u.done
}

func (c *caller) activeUpstream() *upstream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active
}

// route gives the request to where it belongs. It reports whether another one can follow.
func (s *session) route() bool {
	h := &s.head
	s.port.rules.Load().decide(&s.decision, h.Probe, h.Path, h.Fields)
	if s.decision.rule == nil {
		s.decision.count()
		return s.toApp()
	}
	if app := s.currentApp(); app != nil && s.hasPending(app, 1) {
		// The answers must be in order. What the caller sends meanwhile moves the head: look again.
		return s.awaitAnswers(app, 1)
	}
	s.decision.count()
	return s.toLaptop()
}

func (c *caller) currentApp() *upstream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.app
}

// appUpstream is the connection to the app, a new one if the old one has ended.
func (c *caller) appUpstream() *upstream {
	c.mu.Lock()
	u := c.app
	usable := u != nil && !u.unheard && !u.closed && (!u.ended || c.active == u)
	c.mu.Unlock()
	if !usable {
		if u != nil {
			u.close()
		}
		u = c.connectApp()
	}
	return u
}

// askApp is a connection to the app that expects the request. Without one the caller is reset, as by an app that is not there,
// or that ends connections as soon as they are made.
func (s *session) askApp(request asked) *upstream {
	for range 2 { // the one there is may end just now
		u := s.appUpstream()
		if u.await() != nil {
			break
		}
		if u.expect(request) {
			return u
		}
	}
	s.abort()
	return nil
}

// toApp sends the request as it is.
func (s *session) toApp() bool {
	h := &s.head
	last := h.Upgrade || isMethod(h.Method, "CONNECT")
	u := s.askApp(asked{head: isMethod(h.Method, "HEAD"), connect: isMethod(h.Method, "CONNECT")})
	if u == nil {
		return false
	}
	t := transfer{to: u, body: h.Body(), mirrors: s.mirrorsOf(s.decision.mirrors)}
	if last || h.Closes || len(t.mirrors) > 0 {
		s.calm = 0
	} else {
		s.calm++
	}
	if !s.sentToApp(u, s.send(&t, nil, h.Size)) {
		return false
	}
	if last { // what comes next may be another protocol
		return s.awaitAnswers(u, 1)
	}
	if s.hasPending(u, maxPending) {
		return s.awaitAnswers(u, maxPending)
	}
	return true
}

// sentToApp deals with how sending a request to the app went. It reports whether another one can follow.
func (s *session) sentToApp(u *upstream, got outcome) bool {
	switch got {
	case callerEnded:
		u.closeWrite()
		<-u.done
		return false
	case upstreamGone:
		s.drainUntil(u)
		return false
	case unreadable:
		s.pass(u)
		return false
	}
	return true
}

func isMethod(b []byte, method string) bool { return string(b) == method }
