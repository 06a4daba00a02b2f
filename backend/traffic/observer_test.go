// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// step is some bytes in one direction; "<" is to the program, ">" from it, "." the end of what the program sends.
type step struct{ direction, bytes string }

// show shows steps to an Observer, in pieces of at most size bytes, and returns what was recorded, a line each.
func show(steps []step, size int, flow Flow, orderly bool) []string {
	log := NewLog()
	o := log.Observe(flow)
	for _, s := range steps {
		see, unread, passed := o.In, o.InUnread, o.InPassed
		if s.direction == ">" {
			see, unread, passed = o.Out, o.OutUnread, o.OutPassed
		}
		if s.direction == "." {
			o.OutEnd()
			continue
		}
		p := []byte(s.bytes)
		for len(p) > 0 {
			n := min(size, len(p))
			if skip := unread(); skip > 0 && size%2 == 1 { // every other size passes what need not be seen
				n = int(min(skip, int64(len(p))))
				passed(int64(n))
			} else {
				see(p[:n])
			}
			p = p[n:]
		}
	}
	o.End(orderly)
	w := watcher{log: log, allowance: Kept, filled: time.Now()}
	var lines []string
	for _, r := range w.next(time.Now()).Records {
		line := fmt.Sprintf("%s %s %s%s %d %s in=%d out=%d %s %s %q", r.Protocol, r.Method, r.Host, r.Path, r.Status, r.GRPC, r.Received, r.Sent, r.Client, r.Went, r.Why)
		if r.Open {
			line += " open"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestHTTP1(t *testing.T) {
	const (
		get      = "GET /orders?user=1 HTTP/1.1\r\nHost: api\r\nX-Forwarded-For: 10.0.0.9, 10.0.0.5\r\n\r\n"
		ok       = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		head     = "HEAD / HTTP/1.1\r\nHost: api\r\n\r\n"
		post     = "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhello"
		chunked  = "POST /b HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
		chunks   = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
		upgrade  = "GET /ws HTTP/1.1\r\nHost: api\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
		switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	)
	line := func(method, path string, status, in, out int, why string) string {
		client := "10.0.0.1"
		if method == "GET" && path == "/orders" {
			client = "10.0.0.5"
		}
		return fmt.Sprintf("HTTP/1.1 %s api%s %d  in=%d out=%d %s laptop %q", method, path, status, in, out, client, why)
	}
	good := line("GET", "/orders", 200, len(get), len(ok), "")
	tests := map[string]struct {
		steps []step
		reset bool
		want  []string
	}{
		"one":        {steps: []step{{"<", get}, {">", ok}}, want: []string{good}},
		"kept alive": {steps: []step{{"<", get}, {">", ok}, {"<", get}, {">", ok}}, want: []string{good, good}},
		"pipelined":  {steps: []step{{"<", get + post + get}, {">", ok + ok + ok}}, want: []string{good, line("POST", "/a", 200, len(post), len(ok), ""), good}},
		"bodies": {
			steps: []step{{"<", post + chunked}, {">", chunks + ok}},
			want:  []string{line("POST", "/a", 200, len(post), len(chunks), ""), line("POST", "/b", 200, len(chunked), len(ok), "")},
		},
		"head": {
			steps: []step{{"<", head + get}, {">", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + ok}},
			want:  []string{line("HEAD", "/", 200, len(head), 39, ""), good},
		},
		"no content, not modified": {
			steps: []step{{"<", get + get + get}, {">", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + ok}},
			want:  []string{line("GET", "/orders", 204, len(get), 27, ""), line("GET", "/orders", 304, len(get), 48, ""), good},
		},
		"continue": {
			steps: []step{{"<", strings.TrimSuffix(post, "hello")}, {">", "HTTP/1.1 100 Continue\r\n\r\n"}, {"<", "hello"}, {">", ok}},
			want:  []string{line("POST", "/a", 200, len(post), 25+len(ok), "")},
		},
		"ends with the connection": {
			steps: []step{{"<", get}, {">", "HTTP/1.0 200 OK\r\n\r\nall of it"}, {".", ""}},
			want:  []string{line("GET", "/orders", 200, len(get), 28, "")},
		},
		"websocket": {
			steps: []step{{"<", upgrade}, {">", switched + "ab"}, {"<", "GET / no request"}, {">", "cd"}},
			want:  []string{fmt.Sprintf("WebSocket GET api/ws 101  in=%d out=%d 10.0.0.1 laptop \"\"", len(upgrade)+16, len(switched)+4)},
		},
		"upgrade refused": {
			steps: []step{{"<", upgrade}, {">", ok}, {"<", get}, {">", ok}},
			want:  []string{line("GET", "/ws", 200, len(upgrade), len(ok), ""), good},
		},
		"connect": {
			steps: []step{{"<", "CONNECT db:5432 HTTP/1.1\r\nHost: api\r\n\r\n"}, {">", "HTTP/1.1 200 OK\r\n\r\n"}, {"<", "x"}, {">", "yz"}},
			want:  []string{line("CONNECT", "db:5432", 200, 40, 21, "")},
		},
		"no answer":    {steps: []step{{"<", get}}, want: []string{line("GET", "/orders", 0, len(get), 0, "the connection ended before there was an answer")}},
		"half answer":  {steps: []step{{"<", get}, {">", ok[:len(ok)-1]}}, want: []string{line("GET", "/orders", 200, len(get), len(ok)-1, "the connection ended before the answer did")}},
		"odd paths":    {steps: []step{{"<", "GET http://x/y%20\x01?z HTTP/1.1\r\nHost: api\r\n\r\n"}, {">", ok}}, want: []string{line("GET", "/y%20?", 200, 44, len(ok), "")}},
		"empty lines":  {steps: []step{{"<", "\r\n"}, {"<", get}}, want: []string{`TCP   0  in=81 out=0 10.0.0.1 laptop ""`}},
		"between":      {steps: []step{{"<", get}, {">", ok}, {"<", "\r\n" + get}, {">", ok}}, want: []string{good, good}},
		"no http":      {steps: []step{{"<", "\x16\x03\x01aaaa"}, {">", "bb"}}, want: []string{`TCP   0  in=7 out=2 10.0.0.1 laptop ""`}},
		"short":        {steps: []step{{"<", "GE"}, {">", "b"}}, want: []string{`TCP   0  in=2 out=1 10.0.0.1 laptop ""`}},
		"server first": {steps: []step{{">", "220 mail\r\n"}, {"<", "GET / HTTP/1.1\r\n\r\n"}}, reset: true, want: []string{`TCP   0  in=18 out=10 10.0.0.1 laptop "the connection was reset"`}},
		"nothing":      {want: []string{`TCP   0  in=0 out=0 10.0.0.1 laptop ""`}},
		"two lengths": {
			steps: []step{{"<", "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}},
			want:  []string{`TCP   0  in=0 out=0 10.0.0.1 laptop ""`},
		},
		"answer to nothing": {
			steps: []step{{"<", get}, {">", ok + ok}, {"<", "abc"}},
			want:  []string{good, `TCP   0  in=3 out=0 10.0.0.1 laptop ""`},
		},
	}
	for name, test := range tests {
		for _, size := range []int{1 << 20, 1<<20 | 1, 64, 7, 2, 1} {
			if size <= 64 && (name == "two lengths" || name == "answer to nothing" || name == "empty lines") {
				continue // how many bytes are left to count depends on the pieces
			}
			got := show(test.steps, size, Flow{Client: "10.0.0.1"}, !test.reset)
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("%s, %d bytes at a time: got\n%s\nwant\n%s", name, size, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		}
	}
}

func TestAHeadTooLongMakesTheFlowPlain(t *testing.T) {
	got := show([]step{{"<", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", maxHead)}}, 1000, Flow{}, true)
	if len(got) != 1 || !strings.HasPrefix(got[0], "TCP") {
		t.Errorf("got %q", got)
	}
}

// TestAnAnswerMayComeBeforeItsRequestIsCounted: what is passed on unseen is counted afterwards, and a program may be quicker.
func TestAnAnswerMayComeBeforeItsRequestIsCounted(t *testing.T) {
	log := NewLog()
	o := log.Observe(Flow{HTTP: true})
	head := "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 100000\r\n\r\n"
	o.In([]byte(head))
	o.Out([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	o.InPassed(100000)
	w := watcher{log: log, allowance: Kept, filled: time.Now()}
	if got := w.next(time.Now()).Records; len(got) != 1 || got[0].Received != uint64(len(head)+100000) || got[0].Open {
		t.Errorf("recorded %+v", got)
	}
}

func TestAFlowOfChosenRequestsWithoutAnyIsNothing(t *testing.T) {
	if got := show(nil, 1, Flow{HTTP: true}, true); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestACopyWentToBoth(t *testing.T) {
	got := show([]step{{"<", "GET / HTTP/1.1\r\n\r\n"}, {">", "HTTP/1.1 204 x\r\n\r\n"}}, 1, Flow{Mirror: true}, true)
	if len(got) != 1 || !strings.Contains(got[0], " both ") {
		t.Errorf("got %q", got)
	}
}

func TestDatagrams(t *testing.T) {
	got := show([]step{{"<", "abc"}, {">", "de"}, {"<", "f"}}, 100, Flow{UDP: true}, true)
	if want := `UDP   0  in=4 out=2  laptop ""`; len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLongPathsAreShortened(t *testing.T) {
	got := show([]step{{"<", "GET /" + strings.Repeat("a", 4000) + " HTTP/1.1\r\n\r\n"}}, 100, Flow{}, true)
	if len(got) != 1 || len(got[0]) > maxPath+200 || !strings.Contains(got[0], "a…") {
		t.Errorf("got %q", got)
	}
}
