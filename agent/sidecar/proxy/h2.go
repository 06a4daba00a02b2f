// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// h2MaxStreams bounds the streams that one caller has open.
const h2MaxStreams = 4096

// h2conn serves one caller's HTTP/2 connection. It hands on streams, not connections: headers, data, trailers and resets of
// each stream pass as they come, in their order; windows, settings and pings are each connection's own affair. Like the
// caller's, its connections to the app and to laptops are its own.
type h2conn struct {
	caller *caller
	all    *rule // takes every request but the kubelet's; nil: the port's rules decide
	done   chan struct{}

	mu       sync.Mutex
	down     *h2peer // the caller
	app      *h2peer // the present one, if any
	laptops  map[*counts]*h2peer
	mirrors  map[*counts]*h2peer
	peers    map[*h2peer]struct{} // all but the caller that have not ended
	streams  map[*h2stream]struct{}
	lastID   uint32 // highest stream that the caller has opened
	leaving  bool   // the notice has been sent
	final    bool   // new streams are not taken any more
	finished bool
	abrupt   bool // the end was not a plain one
}

// serveHTTP2 serves the caller's connection, whose preface is in the buffer.
func (c *caller) serveHTTP2(all *rule) {
	h := &h2conn{caller: c, all: all, done: make(chan struct{}), laptops: map[*counts]*h2peer{}, mirrors: map[*counts]*h2peer{},
		peers: map[*h2peer]struct{}{}, streams: map[*h2stream]struct{}{}}
	h.down = newH2Peer(h, nil)
	c.mu.Lock()
	c.h2 = h
	app := c.app
	c.app = nil
	aborted := c.aborted
	c.mu.Unlock()
	close(c.decided)
	if aborted {
		return
	}
	h.takeApp(app)
	c.in.consume(len(preface))
	first := bytes.Clone(c.in.bytes())
	c.in.free()
	h.mu.Lock()
	h.down.greet()
	h.down.start(c.conn, first)
	h.mu.Unlock()
	if c.port.rules.Load().released {
		h.goAway()
	}
	h.down.read()
	<-h.done
	h.end()
}

// takeApp takes over the connection to the app that was made when the caller came, from the goroutine that reads it.
func (h *h2conn) takeApp(u *upstream) {
	if u == nil || u.await() != nil {
		return
	}
	_ = u.conn.SetReadDeadline(time.Unix(1, 0))
	<-u.done
	h.caller.mu.Lock()
	usable := !u.ended && !u.closed
	h.caller.mu.Unlock()
	if !usable {
		_ = u.conn.Close()
		return
	}
	_ = u.conn.SetReadDeadline(time.Time{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.app = newH2Peer(h, nil)
	h.peers[h.app] = struct{}{}
	h.app.greet()
	h.app.start(u.conn, bytes.Clone(u.in.bytes()))
	u.in.free()
}

// appPeer is the connection to the app. The lock is held.
func (h *h2conn) appPeer() *h2peer {
	if h.app == nil || h.app.ended || h.app.goneAway {
		h.app = h.connect(nil, func() (net.Conn, string) {
			ctx, cancel := context.WithTimeout(context.Background(), appDialTimeout)
			defer cancel()
			conn, err := h.caller.proxy.options.DialApp(ctx, h.caller.port.number, h.caller.target.Addr())
			if err != nil {
				return nil, err.Error()
			}
			return conn, ""
		})
	}
	return h.app
}

// laptopPeer is the connection to a rule's laptop, for the requests it takes or for copies. The lock is held.
func (h *h2conn) laptopPeer(list map[*counts]*h2peer, r *rule, kind wire.FlowKind, method, path string) *h2peer {
	p := list[r.counts]
	if p == nil || p.ended || p.goneAway {
		p = h.connect(r, func() (net.Conn, string) {
			flow, reason := h.caller.open(r, kind, method, path)
			if flow == nil {
				return nil, reason
			}
			return flow, ""
		})
		list[r.counts] = p
	}
	return p
}

// connect makes a connection that streams can be given to at once. The lock is held.
func (h *h2conn) connect(r *rule, dial func() (net.Conn, string)) *h2peer {
	p := newH2Peer(h, r)
	p.greet()
	h.peers[p] = struct{}{}
	go func() {
		conn, reason := dial()
		h.mu.Lock()
		defer h.mu.Unlock()
		switch {
		case conn == nil:
			h.gone(p, errors.New(reason), true)
		case p.ended || h.finished:
			go func() { _ = conn.Close() }()
		default:
			p.start(conn, nil)
		}
	}()
	return p
}

// headers takes a header block from a peer.
func (h *h2conn) headers(p *h2peer, id uint32, fields []hpack.HeaderField, end bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	half := p.halves[id]
	if half == nil {
		if p != h.down || id <= h.lastID {
			return nil // of a stream that has ended
		}
		if id%2 == 0 {
			return h2Protocol
		}
		h.lastID = id
		if !h.final {
			h.open(id, fields, end)
		}
		return h.down.bound()
	}
	s := half.stream
	if half.gotEnd {
		h.drop(s, h2StreamClosed)
		return nil
	}
	if half.mirror {
		h.handOn(half, nil, end)
		return nil
	}
	to := append([]*h2half{half.other}, s.copies(half)...)
	if p == h.down || s.answered {
		if !end {
			h.drop(s, h2Protocol)
			return nil
		}
		if p == h.down {
			s.tail = fields
		}
		for _, other := range to {
			other.tail = fields
		}
	} else {
		s.noteAnswer(fields)
		half.other.heads = append(half.other.heads, fields)
	}
	h.handOn(half, to, end)
	return h.down.bound()
}

// data takes data from a peer; padding counts for the windows only.
func (h *h2conn) data(p *h2peer, id uint32, content []byte, padding int, end bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.held += len(content) + padding; p.held > h2ConnWindow {
		return h2FlowControl
	}
	half := p.halves[id]
	if half == nil || half.gotEnd {
		p.creditConn(len(content) + padding)
		return nil
	}
	if padding > 0 {
		half.credited(padding)
	}
	if half.other == nil || half.other.closed {
		half.credited(len(content))
	} else if len(content) > 0 {
		half.other.data = append(half.other.data, content...)
	}
	copies := half.stream.copies(half)
	for _, m := range copies {
		if len(m.data)+len(content) > maxMirrored {
			h.closeHalf(m, h2Cancel)
			continue
		}
		m.data = append(m.data, content...)
	}
	h.handOn(half, append([]*h2half{half.other}, copies...), end)
	return nil
}

// handOn has halves send what they were given, after which the source may have ended.
func (h *h2conn) handOn(half *h2half, to []*h2half, end bool) {
	if end {
		half.gotEnd = true
	}
	for _, other := range to {
		if other == nil || other.closed {
			continue
		}
		other.end = other.end || end
		other.peer.await(other)
		other.peer.flush()
	}
	if end {
		h.settle(half)
		half.peer.flush() // a stream may be opened in its place
	}
}

// settle closes a half when both its directions have ended.
func (h *h2conn) settle(half *h2half) {
	if half.closed || !half.gotEnd || !half.sentEnd {
		return
	}
	half.closed = true
	p := half.peer
	delete(p.halves, half.id)
	s := half.stream
	if half == s.down {
		h.ended(s)
		return
	}
	h.retire(p)
}

// retire closes a connection that takes no new streams when its last has ended.
func (h *h2conn) retire(p *h2peer) {
	if p != h.down && p.goneAway && len(p.halves) == 0 && len(p.waiting) == 0 && !p.last {
		p.last = true
		p.poke()
	}
}

// ended notes that a stream is complete.
func (h *h2conn) ended(s *h2stream) {
	if _, ok := h.streams[s]; !ok {
		return
	}
	delete(h.streams, s)
	s.report(h)
	h.leaveWhenIdle()
}

func (h *h2conn) leaveWhenIdle() {
	if h.final && len(h.streams) == 0 && !h.down.last {
		h.down.last = true
		h.down.poke()
	}
}

// closeHalf ends a half with a reset, if its peer knows of it.
func (h *h2conn) closeHalf(half *h2half, code h2Code) {
	if half == nil || half.closed {
		return
	}
	half.closed = true
	half.drop()
	p := half.peer
	if half.id != 0 {
		delete(p.halves, half.id)
		if !p.ended && !(half.gotEnd && half.sentEnd) {
			p.out = appendReset(p.out, half.id, code)
			p.poke()
		}
	}
	if p != h.down {
		h.retire(p)
		p.flush()
	}
}

// drop ends a stream on all sides with a reset.
func (h *h2conn) drop(s *h2stream, code h2Code) {
	for _, half := range append([]*h2half{s.up, s.down}, s.mirrors...) {
		h.closeHalf(half, code)
	}
	h.ended(s)
}

// resetStream takes a RST_STREAM.
func (h *h2conn) resetStream(p *h2peer, id uint32, code h2Code) {
	h.mu.Lock()
	defer h.mu.Unlock()
	half := p.halves[id]
	if half == nil {
		return
	}
	s := half.stream
	delete(p.halves, id)
	half.closed = true // nothing more is said about it to this peer
	if again := code == h2Refused && half == s.up && s.canRepeat(true); again && !s.retried && !p.goneAway {
		s.retried = true // more at once than it takes; that is known by now
		h.again(s, p, s.up.first)
	} else if again {
		h.toApp(s, "the laptop's program refused the request")
	} else {
		half.drop()
		h.wasReset(half, code)
	}
	if p != h.down {
		h.retire(p)
		p.flush()
	}
}

// wasReset tells the other end.
func (h *h2conn) wasReset(half *h2half, code h2Code) {
	s := half.stream
	if half.mirror {
		return
	}
	if half == s.up {
		h.down.flush()
		if half.gotEnd && s.down.hasMore() { // the answer is complete, but not sent on
			s.resetAfter = &code
			return
		}
	}
	h.drop(s, code)
}

// ping answers, or learns that the caller has read the notice.
func (h *h2conn) ping(p *h2peer, f *frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.flags&flagAck == 0 {
		p.out = appendFrame(p.out, framePing, flagAck, 0, f.payload)
		p.poke()
	} else if p == h.down && bytes.Equal(f.payload, leavePing) {
		h.leave(h2NoError, nil)
	}
}

// tellCaller hands on a setting of the app's that the caller has to know.
func (h *h2conn) tellCaller(p *h2peer, setting, value uint32) {
	if p != h.app {
		return
	}
	if setting == settingMaxStreams {
		value = min(value, h2MaxStreams)
	}
	h.down.out = appendSettings(h.down.out, [2]uint32{setting, value})
	h.down.poke()
}

// maySettings reports whether an app's first bytes begin an HTTP/2 SETTINGS frame, which servers may send before they have
// seen the client's preface: RFC 9113, section 3.4.
func maySettings(b []byte) bool {
	header := [frameHeaderSize]byte{3: byte(frameSettings)}
	for i, c := range b[:min(len(b), len(header))] {
		if i != 1 && i != 2 && c != header[i] {
			return false
		}
	}
	return len(b) > 0
}

// holdSettings keeps an app's first SETTINGS until it is known whether the caller speaks HTTP/2.
func (u *upstream) holdSettings() {
	select {
	case <-u.caller.decided:
	case <-u.gone:
	}
}
