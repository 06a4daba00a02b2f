// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

func get(t testing.TB, client *http.Client, address, key string) string {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+address+"/a?b=c", nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("X-Fairlead", key)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRequestsOnOneConnection(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	s.rules(keyed("ann"))
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	for i := range 20 {
		key, want := "", "app"
		if i%3 == 1 {
			key, want = "ann", "laptop"
		}
		if i%3 == 2 {
			key = "bob"
		}
		if got := get(t, client, s.address, key); got != want+" GET /a?b=c " {
			t.Fatalf("request %d: got %q, want %s", i, got, want)
		}
	}
	told := 0
	eventually(t, "the requests are told of", func() bool {
		_, requests, _ := s.proxy.Reports()
		for _, r := range requests {
			if r.Intercept != "uid-ann" || r.Method != "GET" || r.Path != "/a" || r.Status != 200 || r.To != "laptop" || r.Duration <= 0 {
				t.Errorf("told of %+v", r)
			}
		}
		told += len(requests)
		return told == 7
	})
	if r := s.report(); r.Matched != 7 || r.Passed != 13 || r.FallenBack != 0 || r.Unreadable != 0 {
		t.Errorf("counted %+v", r)
	}
	_, _, open := s.proxy.Reports()
	if open != 1 {
		t.Errorf("%d connections are open", open)
	}
	if n := len(s.flows.opened()); n != 1 {
		t.Errorf("%d flows were opened", n)
	}
}

// TestBytes compares what the app reads, and what the caller gets, with the bytes that were sent.
func TestBytes(t *testing.T) {
	const key = "X-Fairlead: ann\r\n"
	const ok = "HTTP/1.1 200 OK\r\nX-Odd:   spaced \r\nx-odd: again\r\nContent-Length: 2\r\n\r\nhi"
	big := strings.Repeat("0123456789abcdef", 20_000)
	for _, c := range []struct{ name, request, answer string }{
		{"get", "GET /a?b HTTP/1.1\r\nhOsT:  x \r\nA: 1\r\n%sa: 2\r\n\r\n", ok},
		{"http 1.0", "GET /a HTTP/1.0\r\n%s\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end"},
		{"head", "HEAD / HTTP/1.1\r\nHost: x\r\n%s\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"},
		{"204", "DELETE / HTTP/1.1\r\nHost: x\r\n%s\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"304", "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
		{"early hints", "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok},
		{"until the end", "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + big},
		{"length", "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: 5\r\n\r\nhello", ok},
		{"big length", "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: " + fmt.Sprint(len(big)) + "\r\n\r\n" + big, "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(big)) + "\r\n\r\n" + big},
		{"chunked", "POST / HTTP/1.1\r\nHost: x\r\n%sTransfer-Encoding: chunked\r\n\r\n5;ext=\"a;b\"\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n00003\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"},
		{"big chunks", fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\n%%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big),
			fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n1\r\nx\r\n0\r\n\r\n", len(big), big)},
		{"absolute target", "GET http://x/a HTTP/1.1\r\nHost: x\r\n%s\r\n", ok},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n%s\r\n", ok},
		{"odd status", "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", "HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n"},
	} {
		for _, matched := range []bool{false, true} {
			for _, wrapped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, matched %v, wrapped %v", c.name, matched, wrapped), func(t *testing.T) {
					head := ""
					if matched {
						head = key
					}
					request := strings.Replace(c.request, "%s", head, 1)
					expect := request
					if matched {
						expect = strings.Replace(request, "\r\n\r\n", "\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", 1)
					}
					got := make(chan string, 2)
					target, other := recorded(expect, c.answer, got), scripted(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
					if matched {
						target, other = other, target
					}
					s := newStage(t, target, other)
					s.flows.wrapped = wrapped
					s.rules(keyed("ann"))
					if answer := exchangeBytes(t, s.address, request); answer != c.answer {
						t.Errorf("the caller got %s, want %s", shown(answer), shown(c.answer))
					}
					if read := <-got; read != expect {
						t.Errorf("the other end read %s, want %s", shown(read), shown(expect))
					}
				})
			}
		}
	}
}

func shown(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%q… (%d bytes)", s[:300], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// TestNotRead has the app get, byte for byte, what can't be read beyond doubt, with all that follows.
func TestNotRead(t *testing.T) {
	const matched = "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\n\r\n"
	for _, c := range []struct{ name, bytes string }{
		{"both lengths", "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"},
		{"two equal lengths", "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"},
		{"list of lengths", "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nabcd"},
		{"sign", "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd"},
		{"negative", "POST / HTTP/1.1\r\nContent-Length: -4\r\n\r\nabcd"},
		{"too long", "POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\nabcd"},
		{"other coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{"odd coding", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
		{"two codings", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"},
		{"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"space before colon", "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
		{"folded", "POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"},
		{"folded first", "POST / HTTP/1.1\r\n A: b\r\n\r\n"},
		{"bare line feed", "POST / HTTP/1.1\nHost: x\r\n\r\n"},
		{"bare line feed at the end", "POST / HTTP/1.1\r\nHost: x\r\n\n"},
		{"bare carriage return", "POST / HTTP/1.1\r\nA: b\rc\r\n\r\n"},
		{"null", "POST / HTTP/1.1\r\nA: b\x00\r\n\r\n"},
		{"no colon", "POST / HTTP/1.1\r\nA\r\n\r\n"},
		{"no name", "POST / HTTP/1.1\r\n: b\r\n\r\n"},
		{"version", "POST / HTTP/1.2\r\n\r\n"},
		{"version in small", "POST / http/1.1\r\n\r\n"},
		{"two spaces", "POST  / HTTP/1.1\r\n\r\n"},
		{"tab", "POST\t/ HTTP/1.1\r\n\r\n"},
		{"empty line before", "\r\nPOST / HTTP/1.1\r\n\r\n"},
		{"http 0.9", "GET /\r\n"},
		{"tls", "\x16\x03\x01\x00\x05hello"},
		{"other", "\x00\x01\x02"},
		{"text", "EHLO there\r\n"},
		{"too many lines", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", http1.MaxFields+1) + "\r\n"},
		{"head beyond the bound", "GET / HTTP/1.1\r\nA: " + strings.Repeat("x", http1.MaxHead) + "\r\n\r\n"},
		{"chunk size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
		{"chunk space", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"},
		{"chunk line feed", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
		{"chunk end", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n"},
		{"chunk overflow", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			send := c.bytes + matched + matched
			got := make(chan string, 1)
			s := newStage(t, recorded(send, "whatever", got), nobody)
			s.rules(keyed("ann"))
			if answer := exchangeBytes(t, s.address, send); answer != "whatever" {
				t.Errorf("the caller got %s", shown(answer))
			}
			if read := <-got; read != send {
				t.Errorf("the app read %s, want %s", shown(read), shown(send))
			}
			if len(s.flows.opened()) != 0 {
				t.Error("a flow was opened")
			}
			if r := s.report(); r.Matched != 0 || r.Unreadable != 1 && !strings.HasPrefix(c.name, "chunk") {
				t.Errorf("counted %+v", r)
			}
		})
	}
}

// TestPipeline sends everything at once; the answers come in order.
func TestPipeline(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	s.rules(keyed("ann"))
	var send, want strings.Builder
	for i := range 200 {
		name, key := "app", ""
		if i%5 > 2 {
			name, key = "laptop", "X-Fairlead: ann\r\n"
		}
		body := strings.Repeat("x", i*i%701)
		if i%2 == 0 {
			fmt.Fprintf(&send, "POST /%d HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", i, key, len(body), body)
		} else {
			fmt.Fprintf(&send, "POST /%d HTTP/1.1\r\nHost: x\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\nx%s\r\n0\r\n\r\n", i, key, len(body)+1, body)
			body = "x" + body
		}
		fmt.Fprintf(&want, "%s POST /%d %s\n", name, i, body)
	}
	conn := dial(t, s.address)
	go func() { _, _ = io.WriteString(conn, send.String()) }()
	r := bufio.NewReader(conn)
	var got strings.Builder
	for range 200 {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		got.Write(append(body, '\n'))
	}
	if got.String() != want.String() {
		t.Errorf("got %s, want %s", shown(got.String()), shown(want.String()))
	}
}

func TestFallback(t *testing.T) {
	dies := scripted(func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	for _, c := range []struct {
		name, request string
		laptop        func(net.Listener)
		refuse        wire.Result
		want          string
		fell          int64
	}{
		{"nobody listens", "POST / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nContent-Length: 2\r\n\r\nhi", nobody, "", "app POST / hi", 1},
		{"away", "POST / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nContent-Length: 2\r\n\r\nhi", nobody, wire.LaptopAway, "app POST / hi", 1},
		{"dies on get", "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\n\r\n", dies, "", "app GET / ", 1},
		{"dies on put", "PUT / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", dies, "", "app PUT / hi", 1},
		{"dies on post", "POST / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nContent-Length: 2\r\n\r\nhi", dies, "", "502", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, serveHTTP(named("app")), c.laptop)
			if c.refuse != "" {
				s.flows.set(c.refuse)
			}
			s.rules(keyed("ann"))
			conn := dial(t, s.address)
			r := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, c.request)
			answer, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			if c.want == "502" {
				if answer.StatusCode != 502 || !strings.Contains(string(body), "fairlead") {
					t.Errorf("got %d %q", answer.StatusCode, body)
				}
			} else if string(body) != c.want {
				t.Errorf("got %q, want %q", body, c.want)
			} else if _, err := io.WriteString(conn, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Error(err)
			} else if answer, err := http.ReadResponse(r, nil); err != nil || answer.Header.Get("X-From") != "app" {
				t.Errorf("the next request got %v, %v", answer, err)
			}
			if report := s.report(); report.FallenBack != c.fell || report.Matched != 1-c.fell {
				t.Errorf("counted %+v", report)
			}
		})
	}
}

func TestServerSpeaksFirst(t *testing.T) {
	s := newStage(t, scripted(func(conn net.Conn) {
		_, _ = io.WriteString(conn, "220 hello\r\n")
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = io.WriteString(conn, "got "+line)
	}), nobody)
	s.rules(keyed("ann"))
	conn := dial(t, s.address)
	r := bufio.NewReader(conn)
	if line, _ := r.ReadString('\n'); line != "220 hello\r\n" {
		t.Fatalf("got %q", line)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n")
	if line, _ := r.ReadString('\n'); line != "got GET / HTTP/1.1\r\n" {
		t.Fatalf("got %q", line)
	}
}

func TestXForwardedFor(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"", "127.0.0.1"},
		{"X-Forwarded-For: 10.0.0.1\r\n", "10.0.0.1, 127.0.0.1"},
		{"x-forwarded-for:   10.0.0.1  \r\nA: b\r\n", "10.0.0.1, 127.0.0.1"},
		{"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "10.0.0.1|10.0.0.2, 127.0.0.1"},
		{"X-Forwarded-For:\r\n", "127.0.0.1"},
	} {
		t.Run(c.lines, func(t *testing.T) {
			s := newStage(t, nobody, serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, strings.Join(r.Header["X-Forwarded-For"], "|"))
			})))
			s.rules(keyed("ann"))
			got := exchangeBytes(t, s.address, "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nConnection: close\r\n"+c.lines+"\r\n")
			if _, body, _ := strings.Cut(got, "\r\n\r\n"); body != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
