// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// stage is a proxy between callers, an app and a laptop, all on the loopback.
type stage struct {
	t       testing.TB
	proxy   *Proxy
	address string // where callers connect
	app     string // where the app listens, if it does
	flows   *fakeFlows
}

const testPort = 8080

// patience is how long a test waits for what takes a moment, on a busy machine and with the race detector.
const patience = time.Minute

// settleEarly is how many requests make a connection steady in tests. TestSteady and TestNeverSteady run tests with others.
var settleEarly = 1

// newStage has an app and a laptop's program serve with the given functions, nobody in place of either.
func newStage(t testing.TB, app, laptop func(net.Listener)) *stage {
	t.Helper()
	s := &stage{t: t, flows: &fakeFlows{answer: wire.Answer{Result: wire.Accepted}}}
	if app != nil {
		s.app = listen(t, app)
	}
	if laptop != nil {
		s.flows.local = listen(t, laptop)
	}
	s.proxy = New(Options{Flows: s.flows, DialApp: func(ctx context.Context, port uint16, _ netip.Addr) (net.Conn, error) {
		if port != testPort {
			return nil, errors.New("another port")
		}
		if s.app == "" {
			return nil, syscall.ECONNREFUSED
		}
		return new(net.Dialer).DialContext(ctx, "tcp", s.app)
	}})
	s.address = listen(t, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.proxy.Serve(testPort, conn)
		}
	})
	s.proxy.settleAfter = settleEarly
	t.Cleanup(func() { s.proxy.Drain("Force") })
	return s
}

// listen serves on a port of the loopback until the test ends. It returns the address.
func listen(t testing.TB, serve func(net.Listener)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go serve(l)
	return l.Addr().String()
}

func (s *stage) rules(rules ...wire.Rule) { s.order(wire.PortOrder{Rules: rules}) }

func (s *stage) order(o wire.PortOrder) {
	s.t.Helper()
	o.Port, o.Protocol = testPort, "TCP"
	node := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	if err := s.proxy.SetPorts([]wire.PortOrder{o}, nil, node); err != nil {
		s.t.Fatal(err)
	}
}

// report is that of the first rule.
func (s *stage) report() wire.InterceptReport {
	s.t.Helper()
	list, _, _ := s.proxy.Reports()
	if len(list) == 0 {
		s.t.Fatal("no reports")
	}
	return list[0]
}

func keyed(key string) wire.Rule {
	return wire.Rule{Intercept: "uid-" + key, Match: &wire.Match{Key: key}}
}

func everything() wire.Rule { return wire.Rule{Intercept: "uid-all"} }

// fakeFlows dials the laptop's program, if there is one.
type fakeFlows struct {
	local string

	mu      sync.Mutex
	answer  wire.Answer
	opens   []wire.Open
	conns   []net.Conn
	wrapped bool // connections are not TCP's own, as with TLS
}

func (f *fakeFlows) Open(ctx context.Context, open wire.Open) (Conn, wire.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens = append(f.opens, open)
	if f.answer.Result != wire.Accepted {
		return nil, f.answer, nil
	}
	if f.local == "" {
		return nil, wire.Answer{Result: wire.NobodyListens}, nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", f.local)
	if err != nil {
		return nil, wire.Answer{Result: wire.NobodyListens}, nil
	}
	f.conns = append(f.conns, conn)
	if f.wrapped {
		return struct{ Conn }{conn.(*net.TCPConn)}, f.answer, nil
	}
	return conn.(*net.TCPConn), f.answer, nil
}

func (f *fakeFlows) set(result wire.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = wire.Answer{Result: result, Detail: "because of the test"}
}

func (f *fakeFlows) opened() []wire.Open {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]wire.Open(nil), f.opens...)
}

// serveHTTP serves HTTP/1.1 and HTTP/2 with prior knowledge.
func serveHTTP(h http.Handler) func(net.Listener) {
	return func(l net.Listener) {
		var protocols http.Protocols
		protocols.SetHTTP1(true)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Handler: h, Protocols: &protocols}
		_ = server.Serve(l)
	}
}

// named answers with a name and what it was asked.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-From", name)
		_, _ = w.Write([]byte(name + " " + r.Method + " " + r.RequestURI + " " + string(body)))
	})
}

// scripted serves each connection with a function.
func scripted(serve func(net.Conn)) func(net.Listener) {
	return func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}
}

// recorded answers every connection with fixed bytes after it has read as many as it expects, and tells what it read.
func recorded(expect, answer string, got chan<- string) func(net.Listener) {
	return scripted(func(conn net.Conn) {
		b := make([]byte, len(expect))
		n, _ := io.ReadFull(conn, b)
		_, _ = io.WriteString(conn, answer)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		rest, _ := io.ReadAll(conn)
		got <- string(b[:n]) + string(rest)
	})
}

// nobody stands for a port at which nothing listens. It is not one that was just closed: another test may get that one.
var nobody func(net.Listener)

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience)) // a test that hangs says where
	return conn.(*net.TCPConn)
}

// exchangeBytes sends bytes, says that this was all, and returns what comes back.
func exchangeBytes(t testing.TB, address, send string) string {
	t.Helper()
	conn := dial(t, address)
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	var out bytes.Buffer
	_, _ = io.Copy(&out, conn)
	return out.String()
}

// eventually waits for something that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
