// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// eventually waits for something that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestRulesChange changes the rules under open connections.
func TestRulesChange(t *testing.T) {
	for name, client := range map[string]*http.Client{"http1": {Transport: &http.Transport{MaxConnsPerHost: 1}}, "h2c": h2Client()} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
			suspended := keyed("ann")
			suspended.Suspended = true
			for i, c := range []struct {
				rules []wire.Rule
				want  string
			}{
				{nil, "app"}, {[]wire.Rule{keyed("ann")}, "laptop"}, {[]wire.Rule{suspended}, "app"}, {[]wire.Rule{keyed("ann")}, "laptop"},
				{[]wire.Rule{keyed("bob")}, "app"}, {[]wire.Rule{keyed("bob"), everything()}, "laptop"}, {[]wire.Rule{everything()}, "laptop"}, {nil, "app"},
			} {
				s.rules(c.rules...)
				if got := get(t, client, s.address, "ann"); got != c.want+" GET /a?b=c " {
					t.Fatalf("step %d: got %q, want %s", i, got, c.want)
				}
			}
			if _, _, open := s.proxy.Reports(); open != 1 {
				t.Errorf("%d connections are open", open)
			}
		})
	}
}

// TestBadRule leaves the others in force.
func TestBadRule(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	bad := "("
	err := s.proxy.SetPorts([]wire.PortOrder{{Port: testPort, Protocol: "TCP", Rules: []wire.Rule{
		{Intercept: "uid-bad", Match: &wire.Match{Path: &wire.ValueMatch{Regex: &bad}}}, keyed("ann")}}, {Port: 53, Protocol: "UDP"}}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "intercept uid-bad, port 8080: path:") {
		t.Errorf("got %v", err)
	}
	if got := get(t, http.DefaultClient, s.address, "ann"); got != "laptop GET /a?b=c " {
		t.Errorf("got %q", got)
	}
}

// TestDrain lets go of connections: those that are idle are closed, those that are busy end as they are.
func TestDrain(t *testing.T) {
	hold := make(chan struct{})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-hold
		}
		_, _ = io.WriteString(w, "done")
	})
	s := newStage(t, serveHTTP(app), serveHTTP(app))
	s.rules(keyed("ann"))
	idle, busy := dial(t, s.address), dial(t, s.address)
	readers := map[net.Conn]*bufio.Reader{idle: bufio.NewReader(idle), busy: bufio.NewReader(busy)}
	for conn, path := range map[net.Conn]string{idle: "/", busy: "/slow"} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		answer, err := http.ReadResponse(readers[conn], nil)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/" {
			_, _ = io.ReadAll(answer.Body)
		}
	}
	multiplexed := h2Client()
	if answer, err := multiplexed.Get("http://" + s.address + "/"); err != nil {
		t.Fatal(err)
	} else {
		_, _ = io.ReadAll(answer.Body)
	}
	slow := make(chan string, 1)
	go func() {
		answer, err := multiplexed.Get("http://" + s.address + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		b, err := io.ReadAll(answer.Body)
		slow <- fmt.Sprint(string(b), err)
	}()
	eventually(t, "the slow stream is open", func() bool {
		for _, c := range s.proxy.all() {
			if h := c.http2(); h != nil && h.count() == 1 {
				return true
			}
		}
		return false
	})
	s.proxy.Drain("Gentle")
	if _, err := readers[idle].ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	close(hold)
	if got := <-slow; got != "done<nil>" {
		t.Errorf("the slow stream: %s", got)
	}
	if answer, err := readers[busy].ReadString('d'); err != nil || !strings.HasSuffix(answer, "d") {
		t.Errorf("the busy connection: %q, %v", answer, err)
	}
	_ = idle.Close()
	eventually(t, "all connections end", func() bool { _, _, open := s.proxy.Reports(); return open == 0 })
}

func (c *caller) http2() *h2conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h2
}

func (h *h2conn) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

func TestForce(t *testing.T) {
	s := newStage(t, scripted(func(conn net.Conn) { _, _ = io.Copy(conn, conn) }), nobody)
	s.order(wire.PortOrder{Rules: []wire.Rule{keyed("ann")}, Takeover: "Force"})
	conn := dial(t, s.address)
	_, _ = conn.Write([]byte("\x01"))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.proxy.SetPorts(nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// TestSuspendedInFlight gives requests that wait for a laptop to the app when the laptop is away.
func TestSuspendedInFlight(t *testing.T) {
	for name, client := range map[string]*http.Client{"http1": {Transport: &http.Transport{}}, "h2c": h2Client()} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				<-r.Context().Done()
			})
			s := newStage(t, serveHTTP(named("app")), serveHTTP(silent))
			s.rules(keyed("ann"))
			got := make(chan string, 1)
			go func() { got <- get(t, client, s.address, "ann") }()
			<-asked
			suspended := keyed("ann")
			suspended.Suspended = true
			s.rules(suspended)
			if got := <-got; got != "app GET /a?b=c " {
				t.Errorf("got %q", got)
			}
			if r := s.report(); r.FallenBack != 1 || r.Matched != 0 {
				t.Errorf("counted %+v", r)
			}
		})
	}
}

// TestMirror compares the copy with what the app got.
func TestMirror(t *testing.T) {
	body := strings.Repeat("0123456789", 10_000)
	const plain = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"
	marked := fmt.Sprintf("POST /marked HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, c := range []struct {
		name, send, want string
		rule             wire.Rule
	}{
		{"requests", plain + marked + plain + marked, marked + marked, wire.Rule{Intercept: "m", Mirror: true, Match: &wire.Match{Key: "ann"}}},
		{"all", plain + marked, plain + marked, wire.Rule{Intercept: "m", Mirror: true}},
		{"bytes", "\x01\x02" + body, "\x01\x02" + body, wire.Rule{Intercept: "m", Mirror: true}},
		{"a probe", "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.36\r\n\r\n", "", wire.Rule{Intercept: "m", Mirror: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			copied, original := make(chan string, 4), make(chan string, 4)
			keep := func(to chan string) func(net.Listener) {
				return scripted(func(conn net.Conn) {
					b, _ := io.ReadAll(conn)
					to <- string(b)
				})
			}
			s := newStage(t, keep(original), keep(copied))
			s.rules(c.rule)
			exchangeBytes(t, s.address, c.send)
			if got := <-original; got != c.send {
				t.Errorf("the app got %s", shown(got))
			}
			if c.want == "" {
				if len(s.flows.opened()) != 0 {
					t.Error("a flow was opened")
				}
				return
			}
			if got := <-copied; got != c.want {
				t.Errorf("the copy is %s, want %s", shown(got), shown(c.want))
			}
		})
	}
}

// TestMirrorTooSlow goes on without the copy.
func TestMirrorTooSlow(t *testing.T) {
	s := newStage(t, serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})), scripted(func(conn net.Conn) { <-make(chan struct{}) }))
	s.rules(wire.Rule{Intercept: "m", Mirror: true})
	answer, err := http.Post("http://"+s.address+"/", "", bytes.NewReader(make([]byte, 64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(answer.Body); string(b) != fmt.Sprint(64<<20) {
		t.Errorf("got %q", b)
	}
}

// TestProbes has the kubelet's probes reach the app, and everything else the laptop.
func TestProbes(t *testing.T) {
	raw := func(name string) func(net.Listener) {
		return scripted(func(conn net.Conn) {
			b := make([]byte, 100)
			n, _ := conn.Read(b)
			_, _ = fmt.Fprintf(conn, "%s %d", name, n)
		})
	}
	for _, c := range []struct{ name, probe, send, want string }{
		{"http", "http", "GET / HTTP/1.1\r\nUser-Agent: kube-probe/1.36\r\n\r\n", "app"},
		{"http, not the kubelet", "http", "GET / HTTP/1.1\r\nUser-Agent: curl\r\n\r\n", "laptop"},
		{"http, bytes", "http", "\x01", "laptop"},
		{"http, unfinished", "http", "GET / HTTP/1.1\r\n", "laptop"},
		{"https", "https", "\x16\x03\x01", "app"},
		{"https, no tls", "https", "\x01", "laptop"},
		{"tls, other probe", "http", "\x16\x03\x01", "laptop"},
		{"tcp, bytes", "tcp", "\x01", "laptop"},
		{"tcp, server speaks first", "tcp", "", "laptop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, raw("app"), raw("laptop"))
			s.order(wire.PortOrder{Rules: []wire.Rule{everything()}, Probes: []wire.Probe{{Kind: c.probe}}})
			conn := dial(t, s.address)
			_, _ = io.WriteString(conn, c.send)
			eventually(t, "it is served", func() bool { _, _, open := s.proxy.Reports(); return open == 1 })
			if c.send == "" {
				eventually(t, "a flow is opened", func() bool { return len(s.flows.opened()) == 1 })
				_, _ = io.WriteString(conn, "x")
				c.send = "x"
			}
			b, _ := io.ReadAll(conn)
			if want := fmt.Sprintf("%s %d", c.want, len(c.send)); string(b) != want {
				t.Errorf("got %q, want %q", b, want)
			}
		})
	}
	t.Run("tcp", func(t *testing.T) {
		var reached atomic.Int32
		s := newStage(t, scripted(func(net.Conn) { reached.Add(1) }), nobody)
		s.order(wire.PortOrder{Rules: []wire.Rule{everything()}, Probes: []wire.Probe{{Kind: "tcp"}}})
		_ = dial(t, s.address).Close()
		eventually(t, "the app is reached", func() bool { return reached.Load() == 1 })
		if len(s.flows.opened()) != 0 {
			t.Error("a flow was opened")
		}
	})
	t.Run("grpc", func(t *testing.T) {
		s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
		s.order(wire.PortOrder{Rules: []wire.Rule{everything()}, Probes: []wire.Probe{{Kind: "grpc"}}})
		for agent, want := range map[string]string{"kube-probe/1.36": "app", "grpc-go/1.8": "laptop"} {
			r, _ := http.NewRequest("GET", "http://"+s.address+"/", nil)
			r.Header.Set("User-Agent", agent)
			answer, err := h2Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.Header.Get("X-From"); got != want {
				t.Errorf("%s: %q, want %s", agent, got, want)
			}
		}
	})
	t.Run("personal", func(t *testing.T) {
		s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
		anything := ""
		s.rules(wire.Rule{Intercept: "uid-path", Match: &wire.Match{Path: &wire.ValueMatch{Prefix: &anything}}})
		r, _ := http.NewRequest("GET", "http://"+s.address+"/", nil)
		r.Header.Set("User-Agent", "kube-probe/1.36")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("X-From"); got != "app" {
			t.Errorf("answered by %q", got)
		}
		if r := s.report(); r.Matched+r.Passed != 0 {
			t.Errorf("counted %+v", r)
		}
	})
}

// TestUpgradeToHTTP2 leaves an upgrade to the app, and does without one at a laptop.
func TestUpgradeToHTTP2(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
	app := head + "\r\n"
	got := make(chan string, 1)
	s := newStage(t, recorded(app, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nframes", got), nobody)
	s.rules(keyed("ann"))
	if answer := exchangeBytes(t, s.address, app+preface); !strings.HasSuffix(answer, "\r\n\r\nframes") {
		t.Errorf("got %q", answer)
	}
	if read := <-got; read != app+preface {
		t.Errorf("the app read %q", read)
	}
	laptop := "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
	s = newStage(t, nobody, recorded(laptop, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", got))
	s.rules(keyed("ann"))
	if answer := exchangeBytes(t, s.address, head+"X-Fairlead: ann\r\n\r\n"); answer != "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
		t.Errorf("got %q", answer)
	}
	if read := <-got; read != laptop {
		t.Errorf("the laptop read %q", read)
	}
}

// TestAppCloses has a connection that the app closes while it is idle be closed for the caller, and one of a laptop not.
func TestAppCloses(t *testing.T) {
	closing := make(chan struct{}, 1)
	once := func(name string) func(net.Listener) {
		return scripted(func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-From: %s\r\nContent-Length: 0\r\n\r\n", name)
			}
			closing <- struct{}{}
		})
	}
	s := newStage(t, once("app"), once("laptop"))
	s.rules(keyed("ann"))
	conn := dial(t, s.address)
	r := bufio.NewReader(conn)
	for i := range 4 {
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\n\r\n")
		answer, err := http.ReadResponse(r, nil)
		if err != nil || answer.Header.Get("X-From") != "laptop" {
			t.Fatalf("request %d: %v, %v", i, answer, err)
		}
		<-closing
		eventually(t, "the end is noticed", func() bool { return s.proxy.all()[0].laptopEnded() })
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.Header.Get("X-From") != "app" {
		t.Fatalf("%v, %v", answer, err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the app has closed: %v", err)
	}
}

func (c *caller) laptopEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.laptop.ended
}

// TestExpect has the caller wait for the invitation, which comes from the other end.
func TestExpect(t *testing.T) {
	for _, key := range []string{"", "ann"} {
		invite := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b)
		})
		s := newStage(t, serveHTTP(invite), serveHTTP(invite))
		s.rules(keyed("ann"))
		invited := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { invited = true }})
		r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+"/", strings.NewReader("body"))
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("X-Fairlead", key)
		answer, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(answer.Body); string(b) != "body" || !invited {
			t.Errorf("key %q: got %q, invited %v", key, b, invited)
		}
	}
}

// TestBackpressure has a sender wait for a reader who does not read.
func TestBackpressure(t *testing.T) {
	read := make(chan struct{})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-read
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	for name, client := range map[string]*http.Client{"http1": {Transport: &http.Transport{}}, "h2c": h2Client()} {
		for _, key := range []string{"", "ann"} {
			t.Run(name+key, func(t *testing.T) {
				read = make(chan struct{})
				s := newStage(t, serveHTTP(app), serveHTTP(app))
				s.flows.wrapped = true
				s.rules(keyed("ann"))
				var sent atomic.Int64
				const size = 64 << 20
				body := &counting{r: io.LimitReader(zeros{}, size), n: &sent}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+"/", body)
				r.Header.Set("X-Fairlead", key)
				got := make(chan string, 1)
				go func() {
					answer, err := client.Do(r)
					if err != nil {
						got <- err.Error()
						return
					}
					b, _ := io.ReadAll(answer.Body)
					got <- string(b)
				}()
				// It comes to rest somewhere below what the kernel's buffers and ours can hold.
				last := int64(-1)
				eventually(t, "the sender waits", func() bool {
					now := sent.Load()
					time.Sleep(50 * time.Millisecond)
					rests := now == last && now > 0
					last = now
					return rests
				})
				if last == size {
					t.Error("everything was taken without being read")
				}
				close(read)
				if got := <-got; got != fmt.Sprint(size) {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
