// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// ways are the ways that a connection can go. The app and the laptop answer with their names.
var ways = []struct {
	name, key, want string
	rules           []wire.Rule
}{
	{"not matched", "", "app", []wire.Rule{keyed("ann")}},
	{"matched", "ann", "laptop", []wire.Rule{keyed("ann")}},
	{"all", "", "laptop", []wire.Rule{everything()}},
	{"all behind personal", "", "laptop", []wire.Rule{keyed("bob"), everything()}},
	{"mirrored", "ann", "app", []wire.Rule{{Intercept: "uid-mirror", Mirror: true, Match: &wire.Match{Key: "ann"}}}},
	{"all mirrored", "", "app", []wire.Rule{{Intercept: "uid-mirror", Mirror: true}}},
	{"suspended", "ann", "app", []wire.Rule{{Intercept: "uid-ann", Match: &wire.Match{Key: "ann"}, Suspended: true}}},
	{"no rules", "ann", "app", nil},
}

func everyWay(t *testing.T, serve func(name string) func(net.Listener), check func(t *testing.T, s *stage, key, want string)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := newStage(t, serve("app"), serve("laptop"))
			s.rules(w.rules...)
			check(t, s, w.key, w.want)
		})
	}
}

func TestConformanceHTTP(t *testing.T) {
	for name, client := range map[string]func() *http.Client{
		"http1": func() *http.Client { return &http.Client{Transport: &http.Transport{}} },
		"h2c":   h2Client,
	} {
		t.Run(name, func(t *testing.T) {
			everyWay(t, func(name string) func(net.Listener) { return serveHTTP(full(name)) }, func(t *testing.T, s *stage, key, want string) {
				client := client()
				t.Cleanup(client.CloseIdleConnections)
				checkHTTP(t, client, "http://"+s.address, key, want)
			})
		})
	}
}

// full serves what an HTTP client can see of a server.
func full(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", name)
		w.Header().Set("Trailer", "X-Sum")
		_ = http.NewResponseController(w).EnableFullDuplex()
		n, _ := io.Copy(flushing{w}, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n))
		w.Header().Set(http.TrailerPrefix+"X-Request-Trailer", r.Trailer.Get("X-Mine"))
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-From", name)
		for i := range 3 {
			fmt.Fprintf(w, "data: %s %d\n\n", name, i)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done() // ends only when the caller leaves
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", name)
		var code int
		_, _ = fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) { // answers before the body has come
		w.Header().Set("X-From", name)
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(413)
		_, _ = io.WriteString(w, "too much")
		_ = http.NewResponseController(w).Flush()
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		conn.SetReadLimit(1 << 20)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if err := conn.Write(r.Context(), kind, append([]byte(name+" "), message...)); err != nil {
				return
			}
		}
	})
	return mux
}

// flushing sends what is written at once.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

func checkHTTP(t *testing.T, client *http.Client, url, key, want string) {
	t.Helper()
	ask := func(ctx context.Context, method, path string, body io.Reader, change ...func(*http.Request)) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("Baggage", "a=b, fairlead="+key)
		}
		for _, f := range change {
			f(r)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if got := answer.Header.Get("X-From"); got != want {
			t.Errorf("%s %s: answered by %q, want %s", method, path, got, want)
		}
		return answer
	}
	all := func(answer *http.Response) string {
		t.Helper()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, body := range []string{"", "hello", big} {
		answer := ask(ctx, "POST", "/echo", strings.NewReader(body))
		if got := all(answer); got != body || answer.Trailer.Get("X-Sum") != fmt.Sprint(len(body)) {
			t.Errorf("echo: %s, trailer %v", shown(got), answer.Trailer)
		}
		// The same of unknown length, with a trailer.
		answer = ask(ctx, "POST", "/echo", struct{ io.Reader }{strings.NewReader(body)}, func(r *http.Request) { r.Trailer = http.Header{"X-Mine": {"t"}} })
		if got := all(answer); got != body || answer.Trailer.Get("X-Request-Trailer") != "t" {
			t.Errorf("echo with trailer: %s, trailer %v", shown(got), answer.Trailer)
		}
	}
	answer := ask(ctx, "PUT", "/echo", strings.NewReader("later"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
	if got := all(answer); got != "later" {
		t.Errorf("expect: %q", got)
	}
	if got := all(ask(ctx, "HEAD", "/status/200", nil)); got != "" {
		t.Errorf("head: %q", got)
	}
	for _, code := range []int{204, 304, 404, 500} {
		if answer := ask(ctx, "GET", fmt.Sprint("/status/", code), nil); answer.StatusCode != code || all(answer) != "" {
			t.Errorf("status: %d, want %d", answer.StatusCode, code)
		}
	}
	leaving, leave := context.WithCancel(ctx)
	answer = ask(leaving, "GET", "/events", nil)
	lines := bufio.NewScanner(answer.Body)
	for i := range 3 {
		for lines.Scan() && lines.Text() == "" {
		}
		if got := lines.Text(); got != fmt.Sprintf("data: %s %d", want, i) {
			t.Errorf("event %d: %q", i, got)
		}
	}
	leave()
	// Both directions at once: what is sent is answered before the next is sent.
	r, w := io.Pipe()
	if client.Transport.(*http.Transport).Protocols != nil { // HTTP/1 clients of the standard library can't
		answers := make(chan *http.Response, 1)
		go func() { answers <- ask(ctx, "POST", "/echo", r) }()
		_, _ = w.Write([]byte("one"))
		answer := <-answers
		b := make([]byte, 3)
		for _, word := range []string{"one", "two", "six"} {
			if word != "one" {
				_, _ = w.Write([]byte(word))
			}
			if _, err := io.ReadFull(answer.Body, b); err != nil || string(b) != word {
				t.Errorf("both ways: %q, %v", b, err)
			}
		}
		_ = w.Close()
	}
	answer = ask(ctx, "POST", "/early", strings.NewReader(big+big))
	if got := all(answer); answer.StatusCode != 413 || got != "too much" {
		t.Errorf("early: %d %q", answer.StatusCode, got)
	}
}

func TestConformanceWebSocket(t *testing.T) {
	everyWay(t, func(name string) func(net.Listener) { return serveHTTP(full(name)) }, func(t *testing.T, s *stage, key, want string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, "ws://"+s.address+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Fairlead": {key}}})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(1 << 20)
		for _, message := range []string{"hi", strings.Repeat("x", 100_000)} {
			if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.Read(ctx); err != nil || string(got) != want+" "+message {
				t.Errorf("got %s, %v", shown(string(got)), err)
			}
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
}

// TestConformanceRaw is about bytes that are no HTTP.
func TestConformanceRaw(t *testing.T) {
	serve := func(name string) func(net.Listener) {
		return scripted(func(conn net.Conn) {
			r := bufio.NewReader(conn)
			for {
				line, err := r.ReadString('\n')
				if err != nil { // the other end has sent everything; this one has not
					_, _ = io.WriteString(conn, name+" bye\n")
					return
				}
				_, _ = io.WriteString(conn, name+" "+line)
			}
		})
	}
	everyWay(t, serve, func(t *testing.T, s *stage, key, want string) {
		if key != "" {
			want = "app" // nobody looks for a key there
		}
		conn := dial(t, s.address)
		r := bufio.NewReader(conn)
		for _, message := range []string{"\x01\x02\n", "again\n", strings.Repeat("x", 300_000) + "\n"} {
			go func() { _, _ = io.WriteString(conn, message) }()
			if got, err := r.ReadString('\n'); err != nil || got != want+" "+message {
				t.Fatalf("got %s, %v", shown(got), err)
			}
		}
		_ = conn.CloseWrite()
		if rest, err := io.ReadAll(r); err != nil || string(rest) != want+" bye\n" {
			t.Errorf("after the half close: %q, %v", rest, err)
		}
	})
}

// TestReset has a reset pass in both directions.
func TestReset(t *testing.T) {
	for _, w := range ways {
		for _, send := range []string{"\x01raw", "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: " + w.key + "\r\n\r\n"} {
			t.Run(fmt.Sprintf("%s, %q", w.name, send[:3]), func(t *testing.T) {
				// The other end resets when it has read.
				serve := scripted(func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 100))
					_ = conn.(*net.TCPConn).SetLinger(0)
				})
				s := newStage(t, serve, serve)
				s.rules(w.rules...)
				conn := dial(t, s.address)
				_, _ = io.WriteString(conn, send)
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the caller got %v", err)
				}
				// The caller resets.
				ended := make(chan error, 2)
				serve = scripted(func(conn net.Conn) {
					b := make([]byte, 4096)
					if n, _ := conn.Read(b); n == 0 {
						return // a connection that was not used
					}
					_, err := conn.Read(b)
					ended <- err
				})
				s = newStage(t, serve, serve)
				s.rules(w.rules...)
				conn = dial(t, s.address)
				_, _ = io.WriteString(conn, send)
				for len(s.proxy.all()) == 0 || !s.proxy.all()[0].hasSent() {
					time.Sleep(time.Millisecond)
				}
				_ = conn.SetLinger(0)
				_ = conn.Close()
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatal("the other end was not told")
				}
			})
		}
	}
}

func (p *Proxy) all() []*caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*caller
	for c := range p.callers {
		out = append(out, c)
	}
	return out
}

// hasSent reports whether what the caller sent has gone on.
func (c *caller) hasSent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw || c.active != nil && len(c.active.pending) > 0
}
