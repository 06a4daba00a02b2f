// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

const (
	// maxKept bounds what is kept of a request so that it can be sent again, in bytes.
	maxKept = 64 << 10
	// freshFor is for how long a connection to a laptop is trusted with a request that must not be sent twice: a program
	// may close a connection that is idle, and the news takes its time.
	freshFor = time.Second
)

// session serves the HTTP/1.x requests of one caller, one after the other. It belongs to the caller's goroutine.
type session struct {
	*caller
	head     request
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
		switch readRequest(s.in.bytes(), &s.head) {
		case readWhole:
			if !s.mayBeSteady() {
				return true
			}
			if !s.settle() {
				return false
			}
			continue
		case readInvalid:
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
	s.port.rules.Load().decide(&s.decision, h.probe, h.path, h.fields)
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
	usable := u != nil && (!u.ended || c.active == u)
	c.mu.Unlock()
	if !usable {
		if u != nil {
			u.close()
		}
		u = c.connectApp()
	}
	return u
}

// toApp sends the request as it is.
func (s *session) toApp() bool {
	u := s.appUpstream()
	if u.await() != nil {
		s.abort()
		return false
	}
	h := &s.head
	last := h.upgrade || isMethod(h.method, "CONNECT")
	u.expect(asked{head: isMethod(h.method, "HEAD"), connect: isMethod(h.method, "CONNECT")})
	t := transfer{to: u, body: requestBody(h), mirrors: s.mirrorsOf(s.decision.mirrors)}
	if last || h.closes || len(t.mirrors) > 0 {
		s.calm = 0
	} else {
		s.calm++
	}
	if !s.sentToApp(u, s.send(&t, nil, h.size)) {
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

// toLaptop sends the request to the laptop of the decision's rule, or, if that does not take it, to the app.
func (s *session) toLaptop() bool {
	h, rule, started := &s.head, s.decision.rule, time.Now()
	s.calm = 0
	method, path := string(h.method), string(h.path)
	repeatable := slices.Contains(idempotent, method)
	u, reason := s.flow(rule, repeatable, method, path)
	if u == nil {
		rule.counts.fallenBack.Add(1)
		s.proxy.decided(rule, started, method, path, toApp, reason, 0)
		return s.toApp()
	}
	t := transfer{to: u, body: requestBody(h), mirrors: s.mirrorsOf(s.decision.mirrors)}
	if repeatable {
		t.kept = &s.kept
		s.kept = append(s.kept[:0], s.in.bytes()[:h.size]...)
	}
	s.scratch = appendForwarded(s.scratch[:0], s.in.bytes()[:h.size], h, s.client.Addr().String())
	e := &exchange{repeatable: repeatable}
	connect := isMethod(h.method, "CONNECT")
	request := asked{head: isMethod(h.method, "HEAD"), connect: connect}
	fromApp := request
	request.exchange = e
	switches, closes := h.upgrade && !h.h2c || connect, h.closes
	u.expect(request)
	progress := s.send(&t, s.scratch, h.size)
	switch progress {
	case unreadable:
		s.abort()
		return false
	case callerEnded:
		u.closeWrite()
	}
	s.awaitAnswers(u, 1)
	s.mu.Lock()
	got, raw, left := *e, s.raw, s.aborted
	u.lastUse = time.Now()
	s.mu.Unlock()
	switch {
	case left:
		if !got.begun {
			rule.counts.matched.Add(1)
		}
		s.proxy.decided(rule, started, method, path, toLaptop, "the caller did not wait for the answer", got.status)
		return false
	case got.failed && !got.begun && t.kept != nil:
		rule.counts.fallenBack.Add(1)
		s.proxy.decided(rule, started, method, path, toApp, "the laptop's program closed the connection without an answer", 0)
		return s.again(&t, fromApp, progress, closes)
	case got.failed && !got.begun:
		rule.counts.matched.Add(1)
		s.proxy.decided(rule, started, method, path, toLaptop, "the laptop's program closed the connection without an answer", 502)
		s.refuse(request.head)
		return false
	}
	s.proxy.decided(rule, started, method, path, toLaptop, "", got.status)
	switch {
	case raw && switches:
		s.pass(u)
		return false
	case raw: // an answer without a readable end: it is the last one
		s.drainUntil(u)
		return false
	case got.failed:
		s.abort()
		return false
	case got.closes, closes, progress != sent:
		s.endAndDrain()
		return false
	}
	return true
}

// idempotent methods may be sent again: RFC 9110, section 9.2.2.
var idempotent = []string{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}

// again sends a request that a laptop lost to the app: what is kept of it, then the rest.
func (s *session) again(t *transfer, request asked, progress outcome, closes bool) bool {
	u := s.appUpstream()
	if u.await() != nil {
		s.abort()
		return false
	}
	u.expect(request)
	t.to = u
	if !t.write(*t.kept) {
		s.drainUntil(u)
		return false
	}
	t.kept, t.mirrors = nil, nil
	if progress == upstreamGone {
		progress = s.sendRest(t)
	}
	return s.sentToApp(u, progress)
}

// refuse answers for a laptop that can't, when nobody else can be asked any more.
func (s *session) refuse(head bool) {
	text := "fairlead: the program on the laptop closed the connection without an answer; the request may not be sent again\n"
	answer := fmt.Sprintf("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", len(text))
	if !head {
		answer += text
	}
	_, _ = io.WriteString(s.conn, answer)
	s.endAndDrain()
}

// flow is a connection to the rule's laptop for a request; without one the reason says why.
func (s *session) flow(rule *rule, repeatable bool, method, path string) (*upstream, string) {
	s.mu.Lock()
	u := s.laptop
	usable := u != nil && !u.ended && !u.closed && u.rule.counts == rule.counts && (repeatable || time.Since(u.lastUse) < freshFor)
	s.mu.Unlock()
	if usable {
		return u, ""
	}
	if u != nil {
		u.close()
	}
	conn, reason := s.open(rule, wire.FlowHTTP, method, path)
	if conn == nil {
		return nil, reason
	}
	return s.connectLaptop(rule, conn), ""
}

// connectLaptop puts a flow to use.
func (c *caller) connectLaptop(rule *rule, conn Conn) *upstream {
	u := newUpstream(c, rule)
	c.mu.Lock()
	c.laptop = u
	c.mu.Unlock()
	u.connected(conn, nil)
	go u.answer()
	return u
}

// hasPending reports whether at least n answers are awaited.
func (c *caller) hasPending(u *upstream, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(u.pending) >= n && !u.ended
}

// awaitAnswers returns when less than n answers are awaited. It reads on meanwhile, so that a caller who leaves is noticed.
// It reports whether requests can follow.
func (s *session) awaitAnswers(u *upstream, n int) bool {
	for {
		s.mu.Lock()
		if len(u.pending) < n || u.ended || s.raw || s.closing || s.aborted {
			s.waiting = false
			next := !s.closing && !s.aborted
			s.mu.Unlock()
			return next
		}
		s.waiting = true
		eof := s.eof
		s.mu.Unlock()
		if eof || !s.in.room(false) {
			<-s.wake
			continue
		}
		if err := s.read(false); errors.Is(err, io.EOF) && !s.isClosing() && s.in.len() == 0 {
			u.closeWrite() // else what has been read comes first
		}
	}
}

// drain throws away what the caller still sends, until the connection ends.
func (s *session) drain() {
	for {
		s.in.free()
		if s.read(false) != nil {
			return
		}
	}
}

// drainUntil does so until the upstream has ended, too.
func (s *session) drainUntil(u *upstream) {
	s.drain()
	<-u.done
}

// endAndDrain ends the connection after the last answer.
func (s *session) endAndDrain() {
	s.mu.Lock()
	s.endLocked()
	s.mu.Unlock()
	s.drain()
}

// appendForwarded appends the head of a request with the caller's address in X-Forwarded-For. An upgrade to HTTP/2 is left
// out, as a server may that does not know it (RFC 9110, section 7.8): what came after it could not be told apart any more.
func appendForwarded(to, head []byte, h *request, client string) []byte {
	if h.forwardedEnd > 0 {
		to = append(to, head[:h.forwardedEnd]...)
		if head[h.forwardedEnd-1] == ':' {
			to = append(append(to, ' '), client...)
		} else {
			to = append(append(to, ", "...), client...)
		}
		to = append(to, head[h.forwardedEnd:]...)
	} else {
		to = append(to, head[:len(head)-2]...)
		to = append(append(append(to, "X-Forwarded-For: "...), client...), "\r\n\r\n"...)
	}
	if !h.h2c {
		return to
	}
	plain := make([]byte, 0, len(to))
	for line := range bytes.SplitAfterSeq(to, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(bytes.ToLower(name)) {
		case "upgrade", "http2-settings":
			continue
		case "connection":
			if !hasOption(trim(bytes.TrimSpace(value)), "close") {
				continue
			}
			line = []byte("Connection: close\r\n")
		}
		plain = append(plain, line...)
	}
	return plain
}

func isMethod(b []byte, method string) bool { return string(b) == method }
