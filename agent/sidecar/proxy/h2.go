// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/matching"
)

// h2conn serves one caller's HTTP/2 connection. Like the caller's, its connections to the app and to laptops are its own.
type h2conn struct {
	caller *caller
	all    *rule // takes every request but the kubelet's; nil: the port's rules decide
	server *http.Server
	done   chan struct{}

	mu      sync.Mutex
	app     *http.Transport
	laptops map[*counts]*http.Transport
	conns   map[net.Conn]struct{}
	ended   bool
}

// serveHTTP2 serves the caller's connection, whose preface is in the buffer.
func (c *caller) serveHTTP2(all *rule) {
	h := &h2conn{caller: c, all: all, done: make(chan struct{}), laptops: map[*counts]*http.Transport{}, conns: map[net.Conn]struct{}{}}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	h.server = &http.Server{Handler: h, Protocols: &protocols, ErrorLog: nil}
	h.app = h.transport(h.dialApp)
	c.mu.Lock()
	c.h2 = h
	app := c.app
	c.mu.Unlock()
	close(c.decided)
	if app != nil { // stop its reader
		if app.await() == nil {
			_ = app.conn.SetReadDeadline(time.Unix(1, 0))
		}
		<-app.done
	}
	first := slices.Clone(c.in.bytes())
	c.in.free()
	listener := &oneConn{conn: &prefixed{Conn: c.conn, first: first}, done: h.done}
	listener.conn.closed = listener.close
	_ = h.server.Serve(listener)
	<-h.done
	h.close()
}

// prefixed is a connection of which something has been read.
type prefixed struct {
	net.Conn
	first  []byte
	once   sync.Once
	closed func()
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

func (p *prefixed) Close() error {
	err := p.Conn.Close()
	if p.closed != nil {
		p.once.Do(p.closed)
	}
	return err
}

// oneConn is a listener that has one connection.
type oneConn struct {
	conn  *prefixed
	given bool
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) close()         { close(l.done) }
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

func (h *h2conn) transport(dial func(context.Context) (net.Conn, error)) *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols:          &protocols,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.ended {
				_ = conn.Close()
				return nil, net.ErrClosed
			}
			h.conns[conn] = struct{}{}
			return conn, nil
		},
	}
}

// dialApp is the connection that was made when the caller came, or a new one.
func (h *h2conn) dialApp(ctx context.Context) (net.Conn, error) {
	c := h.caller
	c.mu.Lock()
	u := c.app
	fresh := u != nil && u.err == nil && !u.ended && !u.closed
	c.app = nil
	c.mu.Unlock()
	if fresh && u.conn != nil {
		_ = u.conn.SetReadDeadline(time.Time{})
		return &prefixed{Conn: u.conn, first: slices.Clone(u.in.bytes())}, nil
	}
	return c.proxy.options.DialApp(ctx, c.port.number, c.target.Addr())
}

// notTaken is why a laptop did not take a request: nothing of it has been sent.
type notTaken struct{ reason string }

func (e notTaken) Error() string { return e.reason }

func (h *h2conn) laptop(r *rule) *http.Transport {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.laptops[r.counts]
	if t == nil {
		t = h.transport(func(context.Context) (net.Conn, error) {
			flow, reason := h.caller.open(r, wire.FlowHTTP)
			if flow == nil {
				return nil, notTaken{reason}
			}
			return flow, nil
		})
		h.laptops[r.counts] = t
	}
	return t
}

func (h *h2conn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := h.decide(r)
	if d.rule == nil {
		d.count()
		h.roundTrip(w, r, h.app, nil)
		return
	}
	d.count()
	started := time.Now()
	path, _, _ := bytes.Cut([]byte(r.RequestURI), []byte("?"))
	r.Header["X-Forwarded-For"] = appendAddress(r.Header["X-Forwarded-For"], h.caller.client.Addr().String())
	lost := func(err error) bool {
		var refused notTaken
		if !errors.As(err, &refused) && (r.ContentLength != 0 || !slices.Contains(idempotent, r.Method)) {
			return false
		}
		d.rule.counts.fallenBack.Add(1)
		h.caller.proxy.decided(d.rule, started, r.Method, string(path), toApp, err.Error(), 0)
		if list := r.Header["X-Forwarded-For"]; len(list) == 1 {
			delete(r.Header, "X-Forwarded-For")
		}
		h.roundTrip(w, r, h.app, nil)
		return true
	}
	if status, fell := h.roundTrip(w, r, h.laptop(d.rule), lost); !fell {
		d.rule.counts.matched.Add(1)
		h.caller.proxy.decided(d.rule, started, r.Method, string(path), toLaptop, "", status)
	}
}

func appendAddress(list []string, address string) []string { return append(list, address) }

func (h *h2conn) decide(r *http.Request) decision {
	var d decision
	agent := r.Header.Get("User-Agent")
	probe := isProbeAgent([]byte(agent))
	if h.all != nil {
		if !probe {
			d.rule = h.all
		}
		return d
	}
	fields := []matching.Field{{Name: []byte("host"), Value: []byte(r.Host)}}
	for name, values := range r.Header {
		for _, v := range values {
			fields = append(fields, matching.Field{Name: []byte(name), Value: []byte(v)})
		}
	}
	path, _, _ := bytes.Cut([]byte(r.RequestURI), []byte("?"))
	h.caller.port.rules.Load().decide(&d, probe, path, fields)
	return d
}

// unclosed keeps a request's body from being closed by a transport that did not take it.
type unclosed struct {
	io.ReadCloser
	taken atomic.Bool
}

func (u *unclosed) Read(b []byte) (int, error) {
	u.taken.Store(true)
	return u.ReadCloser.Read(b)
}

func (u *unclosed) Close() error {
	if u.taken.Load() {
		return u.ReadCloser.Close()
	}
	return nil
}

// roundTrip sends the request to a target, and its answer back. lost is asked what to do about a request without an answer.
func (h *h2conn) roundTrip(w http.ResponseWriter, r *http.Request, target *http.Transport, lost func(error) bool) (status int, fell bool) {
	out := new(http.Request).WithContext(r.Context())
	address := *r.URL
	address.Scheme, address.Host = "http", "caller"
	out.Method, out.URL, out.Host, out.Header, out.Trailer, out.ContentLength = r.Method, &address, r.Host, r.Header, r.Trailer, r.ContentLength
	if r.ContentLength != 0 {
		out.Body = &unclosed{ReadCloser: r.Body}
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil
	}
	answer, err := target.RoundTrip(out)
	if err != nil {
		if lost != nil && r.Context().Err() == nil && lost(err) {
			return 0, true
		}
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	for _, name := range []string{"Date", "Content-Type"} {
		if _, ok := header[name]; !ok {
			header[name] = nil // none is made up
		}
	}
	for name := range answer.Trailer {
		header.Add("Trailer", name)
	}
	declared := len(answer.Trailer)
	w.WriteHeader(answer.StatusCode)
	if answer.ContentLength != 0 || declared > 0 {
		h.stream(w, answer.Body)
	}
	if len(answer.Trailer) == declared {
		for name, values := range answer.Trailer {
			header[name] = values
		}
	} else {
		for name, values := range answer.Trailer {
			header[http.TrailerPrefix+name] = values
		}
	}
	return answer.StatusCode, false
}

// stream hands on what comes, as it comes.
func (h *h2conn) stream(w http.ResponseWriter, from io.Reader) {
	b := large.Get().(*[largeBuffer]byte)
	defer large.Put(b)
	flusher := w.(http.Flusher)
	flusher.Flush()
	for {
		n, err := from.Read(b[:])
		if n > 0 {
			if _, err := w.Write(b[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			flusher.Flush()
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// goAway lets the requests in flight end, and takes no more. It returns at once.
func (h *h2conn) goAway() {
	go func() { _ = h.server.Shutdown(context.Background()) }()
}

func (h *h2conn) rulesChanged() {}

// abort closes the connections to the app and to laptops.
func (h *h2conn) abort() { h.close() }

func (h *h2conn) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for conn := range h.conns {
		_ = conn.Close()
	}
}

// maySettings reports whether an app's first bytes begin an HTTP/2 SETTINGS frame, which servers may send before they have
// seen the client's preface: RFC 9113, section 3.4.
func maySettings(b []byte) bool {
	header := [9]byte{0, 0, 0, 4, 0, 0, 0, 0, 0} // type 4, no flags, stream 0
	for i, c := range b[:min(len(b), len(header))] {
		if i != 2 && i != 1 && c != header[i] {
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
