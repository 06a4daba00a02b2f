// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

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
