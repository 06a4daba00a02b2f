// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// onWire are the tests of what a connection's peers see, whoever serves it.
var onWire = map[string]func(*testing.T){
	"requests": TestRequestsOnOneConnection, "bytes": TestBytes, "not read": TestNotRead, "pipeline": TestPipeline, "fallback": TestFallback,
	"rules change": TestRulesChange, "drain": TestDrain, "force": TestForce, "mirror": TestMirror, "probes": TestProbes,
	"upgrade": TestUpgradeToHTTP2, "app closes": TestAppCloses, "expect": TestExpect, "backpressure": TestBackpressure, "reset": TestReset,
	"http": TestConformanceHTTP, "websocket": TestConformanceWebSocket, "raw": TestConformanceRaw, "mistake": TestOurMistake,
	"pieces": TestPieces, "slow readers": TestSlowReaders,
}

// TestSteady has event loops take connections over with their first request.
func TestSteady(t *testing.T) { settled(t, 0) }

// TestNeverSteady does without them, as on systems that have none.
func TestNeverSteady(t *testing.T) { settled(t, 1<<30) }

func settled(t *testing.T, after int) {
	before := settleEarly
	settleEarly = after
	t.Cleanup(func() { settleEarly = before })
	for name, test := range onWire {
		t.Run(name, test)
	}
}

// TestSettling follows a connection from hand to hand.
func TestSettling(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("there are no event loops here: goroutines serve everything")
	}
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	s.rules(keyed("ann"))
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(key, want string, steady bool) {
		t.Helper()
		if got := get(t, client, s.address, key); got != want+" GET /a?b=c " {
			t.Fatalf("got %q, want %s", got, want)
		}
		eventually(t, fmt.Sprintf("steady: %v", steady), func() bool { return s.proxy.all()[0].isSteady() == (steady && runtime.GOOS == "linux") })
	}
	ask("", "app", false)
	ask("", "app", true)
	ask("", "app", true)
	ask("ann", "laptop", false)
	for range 3 { // more are asked for now
		ask("", "app", false)
	}
	ask("", "app", true)
	if got := s.report(); got.Matched != 1 || got.Passed != 7 {
		t.Errorf("counted %+v", got)
	}
	if list := s.proxy.all(); len(list) != 1 {
		t.Errorf("%d connections", len(list))
	}
}

func (c *caller) isSteady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady != nil
}

// TestPieces sends requests in pieces of every size, so that heads and bodies are cut everywhere.
func TestPieces(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	s.rules(keyed("ann"))
	conn := dial(t, s.address)
	r := bufio.NewReader(conn)
	for size := range 60 {
		requests := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789"+
			"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n", size)
		go func() {
			for len(requests) > 0 {
				n := min(size+1, len(requests))
				_, _ = io.WriteString(conn, requests[:n])
				requests = requests[n:]
			}
		}()
		for _, want := range []string{fmt.Sprintf("app GET /%d ", size), "app POST /b 0123456789", "app POST /c hello!"} {
			answer, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(answer.Body); string(got) != want {
				t.Fatalf("in pieces of %d: got %q, want %q", size+1, got, want)
			}
		}
	}
	if got := s.report(); got.Passed != 180 {
		t.Errorf("counted %+v", got)
	}
}

// TestSlowReaders has more sent to the app, and to the caller, than they take at once. Nothing is lost, and the rest waits
// with its sender.
func TestSlowReaders(t *testing.T) {
	body := strings.Repeat("0123456789", 3000)
	read := make(chan struct{})
	s := newStage(t, scripted(func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if request.URL.Path == "/wait" {
				<-read
			}
			got, _ := io.ReadAll(request.Body)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(got), got)
		}
	}), nobody)
	s.rules(keyed("ann"))
	conn := dial(t, s.address)
	r := bufio.NewReader(conn)
	answered := func(want string) {
		t.Helper()
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(answer.Body); string(got) != want {
			t.Fatalf("got %s, %v", shown(string(got)), err)
		}
	}
	send := func(path, body string) {
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	for range 3 {
		send("/", "x")
		answered("x")
	}
	const many = 1000
	go func() {
		send("/wait", "")
		for range many {
			send("/", body)
		}
	}()
	eventually(t, "much has been sent", func() bool { return len(s.proxy.all()) == 1 && s.proxy.all()[0].hasSent() })
	close(read)
	answered("")
	// The answers come back up to here before the first is read.
	last := int64(-1)
	eventually(t, "it comes to rest", func() bool {
		now := s.report().Passed
		time.Sleep(50 * time.Millisecond)
		rests := now == last
		last = now
		return rests
	})
	if last > many {
		t.Error("everything was taken without being read")
	}
	for range many {
		answered(body)
	}
}

// FuzzSteady holds that a steady connection forwards what the usual reading of the same bytes finds to be ordinary requests,
// to the byte, however they are cut.
func FuzzSteady(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nX-Fairlead: ann\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx",
		"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "CONNECT x:1 HTTP/1.1\r\n\r\nany",
	} {
		f.Add([]byte(s), uint8(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		whole, wholeAsked, wholeLeft := forwarded(t, b, len(b)+1)
		parts, partsAsked, partsLeft := forwarded(t, b, int(cut)+1)
		if partsLeft && !wholeLeft {
			return // a long body, of which not all was there
		}
		if whole != parts || wholeAsked != partsAsked || wholeLeft != partsLeft {
			t.Fatalf("whole: %d bytes, %d requests, left %v; in parts: %d, %d, %v", whole, wholeAsked, wholeLeft, parts, partsAsked, partsLeft)
		}
		if whole > len(b) {
			t.Fatalf("%d bytes of %d", whole, len(b))
		}
		asked, at := 0, 0
		for at < whole {
			var h http1.Request
			if http1.ReadRequest(b[at:], &h) != http1.Whole {
				t.Fatalf("what begins at %d is no request", at)
			}
			asked++
			end := h.Body()
			n, _, err := end.Take(b[at+h.Size:])
			at += h.Size + n
			if err != nil {
				break
			}
		}
		if at != whole || asked != wholeAsked {
			t.Fatalf("%d bytes, %d requests; the usual reading has %d and %d", whole, wholeAsked, at, asked)
		}
	})
}

// forwarded feeds a steady connection in pieces.
func forwarded(t *testing.T, b []byte, size int) (total, asked int, left bool) {
	p := New(Options{})
	if err := p.SetPorts([]wire.PortOrder{{Port: testPort, Protocol: "TCP", Rules: []wire.Rule{keyed("ann")}}}, nil, []netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	c := &caller{proxy: p, port: p.ports[testPort]}
	f := &steady{caller: c, app: newUpstream(c, nil)}
	var head http1.Request
	var d decision
	var kept []byte
	for len(b) > 0 && !left {
		n := min(size, len(b))
		kept = append(kept, b[:n]...)
		b = b[n:]
		n, left = f.requests(kept, &head, &d)
		total += n
		kept = kept[n:]
	}
	return total, len(f.app.pending), left
}
