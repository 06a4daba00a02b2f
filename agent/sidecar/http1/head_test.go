// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadRequest(t *testing.T) {
	for _, c := range []struct {
		head, want string
	}{
		{"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a"},
		{"GET http://x:80?b HTTP/1.1\r\n\r\n", "GET /"},
		{"GET http://x/a/b?c HTTP/1.1\r\n\r\n", "GET /a/b"},
		{"CONNECT x:443 HTTP/1.1\r\n\r\n", "CONNECT x:443"},
		{"OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS *"},
		{"GET / HTTP/1.0\r\n\r\n", "GET / closes"},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /"},
		{"GET / HTTP/1.1\r\nConnection: x, CLOSE\r\n\r\n", "GET / closes"},
		{"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / upgrade"},
		{"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: HTTP2-Settings, Upgrade\r\n\r\n", "GET / upgrade h2c"},
		{"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "GET /"},
		{"GET /healthz HTTP/1.1\r\nUser-Agent: kube-probe/1.34\r\n\r\n", "GET /healthz probe"},
		{"GET / HTTP/1.1\r\nHost: x\r\n", "partly"},
		{"GET / HT", "partly"},
		{"GET / HTTP/2.0\r\n\r\n", "invalid"},
		{"GET / FTP", "invalid"},
		{"GET  / HTTP/1.1\r\n\r\n", "invalid"},
		{"GET / HTTP/1.1\n\n", "invalid"},
		{"GET / HTTP/1.1\r\nA : b\r\n\r\n", "invalid"},
		{"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "invalid"},
		{"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "invalid"},
		{"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", "invalid"},
		{"POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n", "invalid"},
		{"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", "invalid"},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "invalid"},
		{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "invalid"},
		{"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", MaxFields+1) + "\r\n", "invalid"},
	} {
		var r Request
		if got := shown(ReadRequest([]byte(c.head), &r), &r); got != c.want {
			t.Errorf("%q is %q, want %q", c.head, got, c.want)
		}
	}
}

func shown(got Reading, r *Request) string {
	switch got {
	case Partly:
		return "partly"
	case Invalid:
		return "invalid"
	}
	text := fmt.Sprintf("%s %s", r.Method, r.Path)
	for word, is := range map[string]bool{" closes": r.Closes, " probe": r.Probe, " upgrade": r.Upgrade && !r.H2C, " upgrade h2c": r.H2C} {
		if is {
			text += word
		}
	}
	return text
}

// TestBodies finds the ends of bodies, with what follows them in the same bytes.
func TestBodies(t *testing.T) {
	for _, c := range []struct {
		head, body string // of the body "|" is the end
		method     string
	}{
		{head: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", body: "abc|HTTP"},
		{head: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", body: "|HTTP"},
		{head: "HTTP/1.1 204 No Content\r\n\r\n", body: "|HTTP"},
		{head: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", body: "|HTTP"},
		{head: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", body: "|HTTP", method: "HEAD"},
		{head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body: "3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n|HTTP"},
		{head: "HTTP/1.1 200 OK\r\n\r\n", body: "abcHTTP|"},
	} {
		var r Response
		if ReadResponse([]byte(c.head), &r) != Whole || r.Size != len(c.head) {
			t.Fatalf("%q can't be read", c.head)
		}
		want, rest, _ := strings.Cut(c.body, "|")
		body := r.Body(c.method == "HEAD")
		n, done, err := body.Take([]byte(want + rest))
		if n != len(want) || done == body.EndsWithConnection() || err != nil {
			t.Errorf("%q, %q: %d bytes, %v, %v", c.head, c.body, n, done, err)
		}
	}
}
