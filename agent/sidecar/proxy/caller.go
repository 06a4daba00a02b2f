// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

const (
	// probeWait is how long a connection that may be the kubelet's is looked at before it goes to a laptop.
	probeWait = 100 * time.Millisecond
	// doubtWait is how long bytes are held that look like a rare HTTP method, before they are taken for something else.
	doubtWait = 200 * time.Millisecond
	// appWait is how long a caller may take to begin where the app can't be reached, before the connection is reset. It is
	// there for the requests that go to a laptop, and need no app.
	appWait = time.Second
	// lingerTime is for how long bytes of a caller are thrown away after the last answer, so that they don't reset the
	// connection before the answer is read: RFC 9112, section 9.6.
	lingerTime = time.Second
	// appDialTimeout bounds connecting to the app, which is in the same pod.
	appDialTimeout = 5 * time.Second
)

// caller is one caller's connection. Its own goroutine, serve, reads what the caller sends; each upstream has one that writes
// what the caller is answered. Requests are given to another upstream only when all answers of the one before are complete,
// so at any time one of them writes.
type caller struct {
	proxy  *Proxy
	port   *port
	conn   net.Conn
	tcp    *net.TCPConn // conn, where bytes can be moved within the kernel
	client netip.AddrPort
	target netip.AddrPort
	in     buffer // of serve alone

	mu     sync.Mutex
	app    *upstream // the present connection to the app
	laptop *upstream // the present one to a laptop
	active *upstream // whose answers the caller gets
	// raw: nothing is read as HTTP any more; all bytes go between the caller and the active upstream.
	raw bool
	// closing: the last byte has been sent to the caller.
	closing bool
	aborted bool
	waiting bool // serve is in await
	woken   bool // the read deadline is in the past, to wake serve up
	eof     bool // the caller has sent its last byte
	h2      *h2conn
	wake    chan struct{} // as woken, for when serve does not read
	decided chan struct{} // closed when it is known what the caller speaks
	between atomic.Bool   // serve waits for a request, and has read nothing of it
	long    atomic.Bool   // a body was long enough to be moved within the kernel
	steady  *steady       // while an event loop serves the connection; conn and tcp are closed then
}

// serve decides what becomes of the connection, and returns when it has ended.
func (c *caller) serve() {
	defer c.finish()
	defer c.guard()
	if rule, mirrors, ok := c.port.rules.Load().whole(); ok {
		if rule == nil {
			c.serveMirrored(mirrors)
			return
		}
		c.serveAll(rule, mirrors)
		return
	}
	begin := time.Duration(0)
	if rules := c.port.rules.Load(); rules.all() == nil {
		c.connectApp()
	} else {
		begin = doubtWait // for a protocol in which the laptop's program speaks first
	}
	got := c.firstBytes(doubtWait, begin)
	if got != http1.HTTP2 {
		close(c.decided)
	}
	switch got {
	case http1.HTTP1:
		c.serveHTTP1()
	case http1.HTTP2:
		c.serveHTTP2(nil)
	case http1.Undecided: // it ended, or the app spoke first
		c.pass(c.appUpstream())
	default:
		c.passUnread()
	}
}

// spoken reports whether it is known what the caller speaks.
func (c *caller) spoken() bool {
	select {
	case <-c.decided:
		return true
	default:
		return false
	}
}

func (c *caller) isHTTP2() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h2 != nil
}

// firstBytes reads until it can say what the caller speaks. It waits for as long as the caller takes to begin, if begin is
// 0, and no longer than doubt where it might be something that waits for an answer itself.
func (c *caller) firstBytes(doubt, begin time.Duration) http1.Protocol {
	var until time.Time
	if begin > 0 {
		until = time.Now().Add(begin)
		c.setDeadline(until)
	}
	for {
		if c.isRaw() {
			return http1.Undecided
		}
		switch got := http1.Sniff(c.in.bytes()); got {
		case http1.Undecided:
			if c.in.len() > 0 && begin > 0 {
				until, begin = time.Time{}, 0 // it has begun, and is HTTP
				c.setDeadline(until)
			}
		case http1.Doubtful:
			if until.IsZero() {
				until = time.Now().Add(doubt)
				c.setDeadline(until)
			}
		default:
			c.setDeadline(time.Time{})
			return got
		}
		if !c.in.room(c.in.len() >= smallBuffer) {
			c.setDeadline(time.Time{})
			return http1.Other
		}
		_, err := c.in.read(c.conn)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !until.IsZero() && !time.Now().Before(until) {
				c.setDeadline(time.Time{})
				return http1.Other
			}
			if c.appIsGone() {
				return http1.Undecided
			}
			c.setDeadline(until)
		default:
			c.setDeadline(time.Time{})
			c.noteEnd(err)
			return http1.Undecided
		}
	}
}

// noteEnd notes why nothing more comes from the caller. What is not a plain end takes all else down.
func (c *caller) noteEnd(err error) {
	if !errors.Is(err, io.EOF) {
		c.abort()
		return
	}
	c.mu.Lock()
	c.eof = true
	c.mu.Unlock()
}

// guard is deferred by each goroutine that serves the caller: a mistake of ours costs this connection and no other.
func (c *caller) guard() {
	if r := recover(); r != nil {
		c.proxy.logger.Error("serve a connection", "client", c.client, "port", c.port.number, "panic", r, "stack", string(debug.Stack()))
		c.abort()
	}
}

// setDeadline sets the read deadline, unless someone has woken serve up meanwhile for good.
func (c *caller) setDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.woken = false
		_ = c.conn.SetReadDeadline(t)
	}
}

// wakeUp makes serve look at the state. c.mu is held.
func (c *caller) wakeUp() {
	if !c.woken && !c.closing {
		c.woken = true
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *caller) isRaw() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw
}

func (c *caller) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.aborted
}

// read reads more of what the caller sends into the buffer. A nil error comes with new bytes or with a change of state.
func (c *caller) read(grow bool) error {
	if !c.in.room(grow) {
		return io.ErrShortBuffer
	}
	for {
		n, err := c.in.read(c.conn)
		if n > 0 {
			return nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.noteEnd(err)
			return err
		}
		c.mu.Lock()
		closing := c.closing
		if !closing {
			c.woken = false
			_ = c.conn.SetReadDeadline(time.Time{})
		}
		c.mu.Unlock()
		if closing {
			return io.EOF
		}
		return nil
	}
}

// connectApp begins to connect to the app.
func (c *caller) connectApp() *upstream {
	u := newUpstream(c, nil)
	c.mu.Lock()
	c.app = u
	if c.active == nil {
		c.active = u
	}
	c.mu.Unlock()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), appDialTimeout)
		conn, err := c.proxy.options.DialApp(ctx, c.port.number, c.target.Addr())
		cancel()
		u.connected(conn, err)
		if err != nil {
			c.appFailed(u)
			return
		}
		u.answer()
	}()
	return u
}

// appFailed gives a caller who says nothing a moment, then resets the connection as the app's own port would have.
func (c *caller) appFailed(u *upstream) {
	select {
	case <-u.gone:
		return
	case <-time.After(appWait):
	}
	if !c.spoken() { // else serve has noticed, or needs no app
		c.abort()
	}
}

// appIsGone reports whether the connection to the app has ended before anything was asked of it.
func (c *caller) appIsGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.aborted || c.app != nil && c.app.ended
}

// open opens a flow to the rule's laptop, for a request if it is for one. The reason is for people.
func (c *caller) open(r *rule, kind wire.FlowKind, method, path string) (flow Conn, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), wire.OpenTimeout)
	defer cancel()
	flow, answer, err := c.proxy.options.Flows.Open(ctx, wire.Open{Intercept: r.Intercept, Port: c.port.number, Protocol: "TCP",
		Client: c.client, Target: c.target, Kind: kind}.ForRequest(method, path))
	switch {
	case err != nil:
		return nil, err.Error()
	case answer.Result != wire.Accepted:
		if answer.Detail != "" {
			return nil, answer.Detail
		}
		return nil, string(answer.Result)
	}
	return flow, ""
}

// abort ends everything at once; what the peers see is a reset.
func (c *caller) abort() {
	c.mu.Lock()
	if c.aborted {
		c.mu.Unlock()
		return
	}
	c.aborted = true
	conn, app, laptop, h2 := c.conn, c.app, c.laptop, c.h2
	c.giveBack()
	c.mu.Unlock()
	reset(conn)
	if app != nil {
		app.abort()
	}
	if laptop != nil {
		laptop.abort()
	}
	if h2 != nil {
		h2.abort()
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// finish closes what is still open, in peace.
func (c *caller) finish() {
	c.mu.Lock()
	conn, app, laptop := c.conn, c.app, c.laptop
	c.closing = true
	c.mu.Unlock()
	_ = conn.Close()
	if app != nil {
		app.close()
	}
	if laptop != nil {
		laptop.close()
	}
	c.in.free()
}

// reset closes a connection so that its peer sees a reset and not an end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
