// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

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
