// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// oneClient speaks HTTP/1.1 over one connection at a time; twoClient HTTP/2 without TLS, with prior knowledge.
func oneClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}
}

func twoClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}}
}

func (t target) request(ctx context.Context, method, path string, body io.Reader) *http.Request {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+t.web+path, body)
	if err != nil {
		panic(err) // the address was given by the test
	}
	for name, values := range t.header {
		request.Header[name] = values
	}
	return request
}

// ask makes a request and returns the answer's body.
func ask(client *http.Client, request *http.Request) (*http.Response, []byte, error) {
	request, steps := traced(request)
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%s)", err, steps)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	return response, body, nil
}

// steps are how far a request got, and when: what it waits for is what comes next.
type steps struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *steps) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "begun" + s.text.String()
}

// traced notes the steps of a request.
func traced(request *http.Request) (*http.Request, *steps) {
	s, began := new(steps), time.Now()
	note := func(format string, values ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintf(&s.text, ", "+format+" after %s", append(values, time.Since(began).Round(time.Millisecond))...)
	}
	return request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		DNSDone:              func(info httptrace.DNSDoneInfo) { note("resolved as %v (%v)", info.Addrs, info.Err) },
		ConnectDone:          func(_, to string, err error) { note("connected to %s (%v)", to, err) },
		GotConn:              func(info httptrace.GotConnInfo) { note("sent from %s", info.Conn.LocalAddr()) },
		WroteRequest:         func(info httptrace.WroteRequestInfo) { note("written (%v)", info.Err) },
		GotFirstResponseByte: func() { note("answered") },
	})), s
}

// same remembers who answered, and complains when somebody else does.
func same(server *string, response *http.Response) error {
	name := response.Header.Get(serverHeader)
	if *server != "" && *server != name {
		return differs("another server", name, *server)
	}
	*server = name
	return nil
}

func requests(ctx context.Context, t target, client *http.Client, proto string) (server string, err error) {
	defer client.CloseIdleConnections()
	for i := range 5 {
		path := fmt.Sprintf("/some/path%%20here?n=%d&x=a+b", i)
		request := t.request(ctx, "PATCH", path, strings.NewReader("body"))
		request.Header.Set("X-Number", fmt.Sprint(i))
		response, body, err := ask(client, request)
		if err != nil {
			return server, err
		}
		var answer struct {
			Proto, Method string
			Headers       http.Header
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return server, fmt.Errorf("read the answer: %w", err)
		}
		if answer.Proto != proto || answer.Method != "PATCH" || answer.Headers.Get("X-Number") != fmt.Sprint(i) || response.StatusCode != 200 {
			return server, differs("request", answer, proto+" PATCH")
		}
		if err := same(&server, response); err != nil {
			return server, err
		}
	}
	return server, nil
}

func keepAlive(ctx context.Context, t target) (string, error) {
	return requests(ctx, t, oneClient(), "HTTP/1.1")
}

func h2cRequests(ctx context.Context, t target) (string, error) {
	return requests(ctx, t, twoClient(), "HTTP/2.0")
}

// dial opens a connection that ends with ctx.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return conn, nil
}

func (t target) headerLines() string {
	var text strings.Builder
	_ = t.header.Write(&text)
	return text.String()
}

// pipelining sends several requests at once and wants the answers in order.
func pipelining(ctx context.Context, t target) (server string, err error) {
	conn, err := dial(ctx, "tcp", t.web)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var all strings.Builder
	const n = 8
	for i := range n {
		fmt.Fprintf(&all, "GET /chunks?n=%d HTTP/1.1\r\nHost: lab\r\n%s\r\n", i, t.headerLines())
	}
	if _, err := io.WriteString(conn, all.String()); err != nil {
		return "", err
	}
	reader := bufio.NewReader(conn)
	for i := range n {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return server, fmt.Errorf("read answer %d: %w", i, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return server, fmt.Errorf("read answer %d: %w", i, err)
		}
		if got := bytes.Count(body, []byte("chunk")); got != i || response.Trailer.Get("X-Lab-Trailer") != fmt.Sprint(i) {
			return server, differs("chunks", got, i)
		}
		if err := same(&server, response); err != nil {
			return server, err
		}
	}
	return server, nil
}

// upload is what /sum answers.
type upload struct {
	Bytes           int64
	SHA256, Trailer string
}

func chunkedUpload(ctx context.Context, t target) (server string, err error) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	request := t.request(ctx, "POST", "/sum", io.MultiReader(bytes.NewReader(body))) // of unknown length: chunked
	request.Trailer = http.Header{"X-Lab-Trailer": {"sent"}}
	response, answer, err := ask(oneClient(), request)
	if err != nil {
		return "", err
	}
	return response.Header.Get(serverHeader), checkUpload(answer, body, "sent")
}

func checkUpload(answer, body []byte, trailer string) error {
	var got upload
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("read the answer %q: %w", answer, err)
	}
	digest := sha256.Sum256(body)
	if want := (upload{int64(len(body)), hex.EncodeToString(digest[:]), trailer}); got != want {
		return differs("upload", got, want)
	}
	return nil
}

func largeBody(ctx context.Context, t target, client *http.Client) (string, error) {
	defer client.CloseIdleConnections()
	body := bytes.Repeat([]byte("fairlead"), 1<<20)
	response, answer, err := ask(client, t.request(ctx, "PUT", "/sum", bytes.NewReader(body)))
	if err != nil {
		return "", err
	}
	return response.Header.Get(serverHeader), checkUpload(answer, body, "")
}

func responseTrailers(ctx context.Context, t target, client *http.Client) (string, error) {
	defer client.CloseIdleConnections()
	response, body, err := ask(client, t.request(ctx, "GET", "/chunks?n=3", nil))
	if err != nil {
		return "", err
	}
	server := response.Header.Get(serverHeader)
	if string(body) != "chunk 0\nchunk 1\nchunk 2\n" || response.Trailer.Get("X-Lab-Trailer") != "3" {
		return server, differs("chunks and trailer", string(body)+response.Trailer.Get("X-Lab-Trailer"), "3 of them")
	}
	return server, nil
}

// expectContinue sends the body only after the server has asked for it.
func expectContinue(ctx context.Context, t target) (string, error) {
	conn, err := dial(ctx, "tcp", t.web)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /sum HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 5\r\n%s\r\n", t.headerLines())
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		return "", differs("first line", fmt.Sprint(line, err), "HTTP/1.1 100 Continue")
	}
	if _, err := reader.ReadString('\n'); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return "", err
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	return response.Header.Get(serverHeader), checkUpload(answer, []byte("hello"), "")
}

// withoutBodies asks for answers that have none, on one connection: whoever waits for one hangs.
func withoutBodies(ctx context.Context, t target) (server string, err error) {
	client := oneClient()
	defer client.CloseIdleConnections()
	for _, request := range []*http.Request{
		t.request(ctx, "HEAD", "/chunks?n=3", nil), t.request(ctx, "GET", "/status/204", nil),
		t.request(ctx, "GET", "/status/304", nil), t.request(ctx, "GET", "/status/404", nil), t.request(ctx, "OPTIONS", "/", nil),
	} {
		response, _, err := ask(client, request)
		if err != nil {
			return server, fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, err)
		}
		if err := same(&server, response); err != nil {
			return server, err
		}
	}
	return server, nil
}

// closing asks the server to close, in HTTP/1.1 and in HTTP/1.0, and wants the connection to end. Each is a connection of
// its own, which a Service may send to another pod.
func closing(ctx context.Context, t target) (server string, err error) {
	for _, head := range []string{"GET /chunks?n=2 HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n", "GET /chunks?n=2 HTTP/1.0\r\n"} {
		conn, err := dial(ctx, "tcp", t.web)
		if err != nil {
			return server, err
		}
		fmt.Fprintf(conn, "%s%s\r\n", head, t.headerLines())
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
		}
		if err == nil {
			_, err = reader.ReadByte()
		}
		conn.Close()
		if err != io.EOF {
			return server, differs("end of the connection", err, io.EOF)
		}
		server = response.Header.Get(serverHeader)
	}
	return server, nil
}

// bothWays sends a piece, waits for it to come back, and only then sends the next.
func bothWays(ctx context.Context, t target, client *http.Client) (string, error) {
	defer client.CloseIdleConnections()
	reader, writer := io.Pipe()
	defer writer.Close()
	response, err := client.Do(t.request(ctx, "POST", "/echo", reader))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	server := response.Header.Get(serverHeader)
	for i := range 5 {
		piece := fmt.Sprintf("piece %d", i)
		if _, err := io.WriteString(writer, piece); err != nil {
			return server, fmt.Errorf("send: %w", err)
		}
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != piece {
			return server, differs("echo", fmt.Sprint(string(got), err), piece)
		}
	}
	writer.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		return server, differs("end of the answer", fmt.Sprint(string(rest), err), "nothing")
	}
	return server, nil
}

// abort goes away in the midst of an answer, and then is served as before.
func abort(ctx context.Context, t target) (string, error) {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if response, err := oneClient().Do(t.request(short, "GET", "/slow?for=10s", nil)); err == nil {
		response.Body.Close()
		return "", differs("slow answer", response.Status, "none yet")
	}
	response, _, err := ask(oneClient(), t.request(ctx, "GET", "/slow?for=1ms", nil))
	if err != nil {
		return "", err
	}
	return response.Header.Get(serverHeader), nil
}

// verbatimBytes compares the bytes that arrive with those that were sent, but for X-Forwarded-For, and the bytes of the
// answer with those that the server writes.
func verbatimBytes(ctx context.Context, t target) (server string, err error) {
	conn, err := dial(ctx, "tcp", t.tap)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i := range 3 {
		sent := fmt.Sprintf("PoSt /a//b/../%%7E?q=%d#f HTTP/1.1\r\nhOST:lab\r\nx-twice:  1 \r\nX-Twice: 2\r\n%scontent-length: 4\r\nX-Empty:\r\n\r\nbody", i, t.headerLines())
		if _, err := io.WriteString(conn, sent); err != nil {
			return server, err
		}
		head, body, err := readVerbatim(reader)
		if err != nil {
			return server, err
		}
		name, want := "", ""
		for _, line := range strings.SplitAfter(head, "\r\n") {
			if value, found := strings.CutPrefix(line, "x-LAB-server: "); found {
				name = strings.TrimSpace(value)
			}
		}
		want = fmt.Sprintf("HTTP/1.1 200 Quite Fine\r\nx-LAB-server: %s\r\nZ-Last:  two  spaces \r\ncontent-LENGTH: %d\r\nA-First: 1\r\nA-First: 2\r\n\r\n", name, len(body))
		if head != want {
			return name, differs("head of the answer", fmt.Sprintf("%q", head), fmt.Sprintf("%q", want))
		}
		if got := withoutForwardedFor(body); got != sent {
			return name, differs("request", fmt.Sprintf("%q", got), fmt.Sprintf("%q", sent))
		}
		if server != "" && server != name {
			return server, differs("another server", name, server)
		}
		server = name
	}
	return server, nil
}

func readVerbatim(reader *bufio.Reader) (head, body string, err error) {
	var text strings.Builder
	length := 0
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return "", "", fmt.Errorf("read the head %q: %w", text.String(), err)
		}
		text.WriteString(line)
		fmt.Sscanf(line, "content-LENGTH: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(reader, rest); err != nil {
		return "", "", fmt.Errorf("read the body: %w", err)
	}
	return text.String(), string(rest), nil
}

func withoutForwardedFor(request string) string {
	var kept strings.Builder
	for line := range strings.SplitAfterSeq(request, "\r\n") {
		if !strings.HasPrefix(strings.ToLower(line), "x-forwarded-for:") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
