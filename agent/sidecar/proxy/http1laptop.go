// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// freshFor is for how long a connection to a laptop is trusted with a request that must not be sent twice: a program may close a
// connection that is idle, and the news takes its time.
const freshFor = time.Second

// toLaptop sends the request to the laptop of the decision's rule, or, if that does not take it, to the app.
func (s *session) toLaptop() bool {
	h, rule, started := &s.head, s.decision.rule, time.Now()
	s.calm = 0
	method, path := string(h.Method), string(h.Path)
	repeatable := slices.Contains(idempotent, method)
	e := &exchange{repeatable: repeatable}
	connect := isMethod(h.Method, "CONNECT")
	request := asked{head: isMethod(h.Method, "HEAD"), connect: connect}
	fromApp := request
	request.exchange = e
	u, reason := s.flow(rule, request, method, path)
	if u == nil {
		rule.counts.fallenBack.Add(1)
		s.proxy.decided(rule, started, method, path, toApp, reason, 0)
		return s.toApp()
	}
	t := transfer{to: u, body: h.Body(), mirrors: s.mirrorsOf(s.decision.mirrors)}
	if repeatable {
		t.kept = &s.kept
		s.kept = append(s.kept[:0], s.in.bytes()[:h.Size]...)
	}
	s.scratch = h.AppendForwarded(s.scratch[:0], s.in.bytes()[:h.Size], s.client.Addr().String())
	switches, closes := h.Upgrade && !h.H2C || connect, h.Closes
	progress := s.send(&t, s.scratch, h.Size)
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
	u := s.askApp(request)
	if u == nil {
		return false
	}
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

// flow is a connection to the rule's laptop that expects the request; without one the reason says why.
func (s *session) flow(rule *rule, request asked, method, path string) (*upstream, string) {
	s.mu.Lock()
	u := s.laptop
	usable := u != nil && !u.ended && !u.closed && u.rule.counts == rule.counts && (request.exchange.repeatable || time.Since(u.lastUse) < freshFor)
	if usable {
		u.expectLocked(request) // from now on it does not end unheard
	}
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
	return s.connectLaptop(rule, conn, &request), ""
}

// connectLaptop puts a flow to use, for a request or, without one, for all bytes.
func (c *caller) connectLaptop(rule *rule, conn Conn, request *asked) *upstream {
	u := newUpstream(c, rule)
	c.mu.Lock()
	c.laptop = u
	if request != nil {
		u.expectLocked(*request)
	} else {
		c.raw, c.active = true, u
	}
	c.mu.Unlock()
	u.connected(conn, nil)
	go u.answer()
	return u
}
