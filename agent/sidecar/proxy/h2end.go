// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"net"
	"time"
)

// leavePing is sent with the notice that a connection is let go of: streams that the caller opened before it had read the
// notice come before the answer. RFC 9113, section 6.8, speaks of one round trip.
var leavePing = []byte("fairlead")

// leaveAfterPing is how long after that answer the last streams may come. In a client with threads, one may have begun to open a
// stream before another read the notice.
const leaveAfterPing = 50 * time.Millisecond

// wentAway takes a GOAWAY.
func (h *h2conn) wentAway(p *h2peer, last uint32, code h2Code, debug []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case p == h.down:
		return // it opens no more streams; when the last has ended it closes
	case p.rule == nil && p == h.app && last == h2MaxWindow:
		// The app will go soon, and still takes what is under way. The caller is told the same, unless it knows of a nearer end,
		// which must not be taken back (RFC 9113, section 6.8).
		if h.final {
			return
		}
		h.leaving = true
		h.down.out = appendGoAway(h.down.out, h2MaxWindow, code, debug)
		h.down.poke()
		return
	}
	p.goneAway = true
	for s := range h.streams {
		if s.up.peer != p || s.up.id != 0 && s.up.id <= last {
			continue
		}
		if s.canRepeat(true) {
			h.toApp(s, "the laptop's program takes no more requests on this connection")
		} else if s.up.id != 0 || p.rule == nil {
			h.drop(s, h2Refused)
		}
	}
	switch {
	case p.rule != nil || p != h.app:
	case h.caller.proxy.podEnds.Load():
		h.part()
	default:
		h.leave(code, debug)
	}
	h.retire(p)
}

// goAway lets the streams in flight end, and takes no more. It returns at once. A connection without a stream yet was opened for a
// request that is surely on its way: clients that lose such a one before their first request don't try again.
func (h *h2conn) goAway() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lastID > 0 {
		h.notify()
		return
	}
	h.owing = true
	time.AfterFunc(idleBeforeClose, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.notify()
	})
}

// notify tells the caller that no more streams will be taken soon, and takes none a round trip later. The lock is held.
func (h *h2conn) notify() {
	if h.leaving || h.finished {
		return
	}
	h.leaving = true
	h.down.out = appendGoAway(h.down.out, h2MaxWindow, h2NoError, nil)
	h.down.out = appendFrame(h.down.out, framePing, 0, 0, leavePing)
	h.down.poke()
	h.leaveIn(lingerTime)
}

func (h *h2conn) leaveIn(d time.Duration) {
	time.AfterFunc(d, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.leave(h2NoError, nil)
	})
}

// part is for a caller whose app has gone with the pod. It may have heard the app's own notice; what it had sent before it read
// that is served, as far as it is a laptop's. The lock is held.
func (h *h2conn) part() {
	if !h.final {
		h.leaving = false
		h.notify()
	}
}

// leave tells the caller that no more streams are taken. The lock is held.
func (h *h2conn) leave(code h2Code, debug []byte) {
	if h.final || h.finished {
		return
	}
	h.leaving, h.final = true, true
	h.down.out = appendGoAway(h.down.out, h.lastID, code, debug)
	h.down.poke()
	h.leaveWhenIdle()
}

// rulesChanged drops what new rules no longer want; see caller.rulesChanged.
func (h *h2conn) rulesChanged() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, list := range []map[*counts]*h2peer{h.laptops, h.mirrors} {
		for key, p := range list {
			if !key.active.Load() {
				delete(list, key)
				h.giveUp(p, key.suspended.Load())
			}
		}
	}
}

// giveUp gives a connection to a laptop no more streams. Requests that the laptop does not know of yet go to the app; if it is
// away, so do those that may be sent twice. The lock is held.
func (h *h2conn) giveUp(p *h2peer, away bool) {
	p.goneAway = true
	for s := range h.streams {
		for _, m := range s.mirrors {
			if m.peer == p && m.id == 0 {
				h.closeHalf(m, h2Cancel)
			}
		}
		switch {
		case s.up.peer != p:
		case s.up.id == 0 && s.canRepeat(true):
			h.toApp(s, "the intercept ended before the request was on its way")
		case away && s.canRepeat(false):
			if s.up.id != 0 {
				p.out = appendReset(p.out, s.up.id, h2Cancel)
				p.poke()
			}
			h.toApp(s, "the laptop is away")
		}
	}
	h.retire(p)
}

// lost takes the end of a connection, with its reason.
func (h *h2conn) lost(p *h2peer, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone(p, err, false)
}

// gone deals with a connection that has ended; unused: it never was there. The lock is held.
func (h *h2conn) gone(p *h2peer, err error, unused bool) {
	if p.ended {
		return
	}
	var code h2Code
	if p == h.down && errors.As(err, &code) && !p.last {
		p.out = appendGoAway(p.out, h.lastID, code, nil)
		p.last, p.unread = true, true
		p.poke()
		return
	}
	p.ended = true
	p.poke()
	for _, c := range p.credits {
		c.from.credited(c.n)
	}
	p.credits = nil
	if p == h.down {
		h.finish(!isEnd(err) && !p.last)
		return
	}
	delete(h.peers, p)
	if p.conn != nil {
		go func() { _ = p.conn.Close() }()
	}
	reason := "the laptop's program closed the connection without an answer"
	if unused {
		reason = err.Error()
	} else if !p.begun && errors.As(err, &code) {
		reason, unused = "the laptop's program does not speak HTTP/2", true
	}
	hit, others := h.without(p)
	if p.rule == nil && !others && !p.goneAway {
		switch {
		case h.caller.proxy.podEnds.Load() && (unused || len(hit) == 0):
			for _, s := range hit {
				h.drop(s, h2Refused)
			}
			h.part()
		case !p.last:
			h.finishAfter(err)
		}
		return
	}
	for _, s := range hit {
		s.up.closed = true
		switch {
		case s.up.gotEnd && s.down.hasMore():
			code := h2NoError
			s.resetAfter = &code
			s.up.drop()
		case s.canRepeat(unused):
			h.toApp(s, reason)
		case p.rule != nil && !s.begun:
			h.refuse(s)
		case unused: // the caller may ask another pod
			s.up.drop()
			h.drop(s, h2Refused)
		default:
			s.up.drop()
			h.drop(s, h2Internal)
		}
	}
	h.down.flush()
}

// without ends the copies that went to a peer, and returns the streams that wait for it. others: there are streams besides that go
// on, or an answer that is complete.
func (h *h2conn) without(p *h2peer) (hit []*h2stream, others bool) {
	for s := range h.streams {
		for _, m := range s.mirrors {
			if m.peer == p {
				m.closed = true
				m.drop()
			}
		}
		if s.up.peer != p || s.up.closed {
			others = true
			continue
		}
		hit = append(hit, s)
		others = others || s.up.gotEnd && s.down.hasMore()
	}
	return hit, others
}

// finishAfter ends the caller's connection as the app ended its own: after what it had sent.
func (h *h2conn) finishAfter(err error) {
	h.down.flush()
	if !isEnd(err) {
		h.finish(true)
		return
	}
	h.final = true
	h.down.last = true
	h.down.poke()
}

// closeGently closes a connection on which everything has been said.
func (h *h2conn) closeGently(p *h2peer) {
	if conn, ok := p.conn.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite()
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(lingerTime))
	h.mu.Lock()
	unread := p.unread
	h.mu.Unlock()
	if unread {
		_, err := io.Copy(io.Discard, p.conn)
		h.lost(p, err)
	}
}

// finish ends the whole. The lock is held.
func (h *h2conn) finish(abrupt bool) {
	if h.finished {
		return
	}
	h.finished, h.abrupt = true, abrupt
	close(h.done)
	if abrupt {
		go reset(h.caller.conn)
	}
}

// end closes all connections.
func (h *h2conn) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finished = true
	conns := []net.Conn{h.caller.conn}
	h.down.ended = true
	h.down.poke()
	for p := range h.peers {
		p.ended = true
		p.poke()
		if p.conn != nil {
			conns = append(conns, p.conn)
		}
	}
	for s := range h.streams {
		s.report(h)
	}
	abrupt := h.abrupt
	go func() {
		for _, conn := range conns {
			if abrupt {
				reset(conn)
			} else {
				_ = conn.Close()
			}
		}
	}()
}

// abort ends everything at once.
func (h *h2conn) abort() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finish(true)
}
