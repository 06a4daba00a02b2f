// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
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
	owing    bool   // the notice is to be sent with the first stream
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
	h.down.greet() // before anybody else can have it say something
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
	c.in.consume(len(http1.Preface))
	first := bytes.Clone(c.in.bytes())
	c.in.free()
	h.mu.Lock()
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

// ping answers, or learns that the caller has read the notice.
func (h *h2conn) ping(p *h2peer, f *frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.flags&flagAck == 0 {
		p.out = appendFrame(p.out, framePing, flagAck, 0, f.payload)
		p.poke()
	} else if p == h.down && bytes.Equal(f.payload, leavePing) {
		h.leaveIn(leaveAfterPing)
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
