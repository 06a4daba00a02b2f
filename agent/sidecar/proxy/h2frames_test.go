// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// talker speaks HTTP/2 frame by frame.
type talker struct {
	t       *testing.T
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	failed  bool
}

func newTalker(t *testing.T, conn net.Conn, client bool) *talker {
	if client {
		_, _ = io.WriteString(conn, http1.Preface)
	} else {
		_, _ = io.ReadFull(conn, make([]byte, len(http1.Preface)))
	}
	k := &talker{t: t, framer: http2.NewFramer(conn, conn)}
	k.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	k.encoder = hpack.NewEncoder(&k.block)
	_ = k.framer.WriteSettings()
	return k
}

func (k *talker) headers(stream uint32, end bool, lines ...string) {
	k.block.Reset()
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		_ = k.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	_ = k.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: k.block.Bytes(), EndStream: end, EndHeaders: true})
}

// next is the next frame that is about a stream or the end of the connection, as text.
func (k *talker) next() string {
	for {
		f, err := k.framer.ReadFrame()
		if err != nil {
			k.failed = true
			return err.Error()
		}
		end := f.Header().Flags&flagEndStream != 0
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			var lines []string
			for _, field := range f.Fields {
				lines = append(lines, field.Name+"="+field.Value)
			}
			return fmt.Sprintf("headers %d %v %s", f.StreamID, end, strings.Join(lines, " "))
		case *http2.DataFrame:
			return fmt.Sprintf("data %d %v %q", f.StreamID, end, f.Data())
		case *http2.RSTStreamFrame:
			return fmt.Sprintf("reset %d %d", f.StreamID, f.ErrCode)
		case *http2.GoAwayFrame:
			return fmt.Sprintf("goaway %d %d %s", f.LastStreamID, f.ErrCode, f.DebugData())
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = k.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = k.framer.WritePing(true, f.Data)
			}
		}
	}
}

// frames serves a connection with what a script says to each frame.
func frames(t *testing.T, got chan<- string, script func(k *talker, frame string) bool) func(net.Listener) {
	return scripted(func(conn net.Conn) {
		k := newTalker(t, conn, false)
		for {
			frame := k.next()
			if k.failed {
				return
			}
			got <- frame
			if !script(k, frame) {
				return
			}
		}
	})
}

// TestFrames compares frames at both ends: order and repetition of headers, trailers, and the codes of resets.
func TestFrames(t *testing.T) {
	head := []string{":method=POST", ":scheme=http", ":path=/x?y", ":authority=shop", "te=trailers", "x-b=1", "x-a=2", "x-b=3", "cookie=c=d"}
	for _, matched := range []bool{false, true} {
		t.Run(fmt.Sprint("matched ", matched), func(t *testing.T) {
			got := make(chan string, 10)
			serve := frames(t, got, func(k *talker, frame string) bool {
				switch {
				case strings.HasPrefix(frame, "data"):
					k.headers(1, false, ":status=103", "link=a")
					k.headers(1, false, ":status=200", "x-z=1", "x-y=2", "x-z=3")
					_ = k.framer.WriteData(1, false, []byte("abc"))
				case strings.HasPrefix(frame, "headers 1 true"): // the trailers
					k.headers(1, true, "grpc-status=0", "x-t=1", "x-t=2")
				case strings.HasPrefix(frame, "headers 3"):
					k.headers(3, false, ":status=200")
					_ = k.framer.WriteRSTStream(3, http2.ErrCodeEnhanceYourCalm)
				}
				return !strings.HasPrefix(frame, "goaway")
			})
			s := newStage(t, serve, serve)
			s.rules(keyed("ann"))
			want := ""
			if matched {
				head = append(slices.Clone(head), "x-fairlead=ann")
				want = " x-forwarded-for=127.0.0.1"
			}
			k := newTalker(t, dial(t, s.address), true)
			expect := func(what, frame string) {
				t.Helper()
				if what != frame {
					t.Errorf("got %s, want %s", what, frame)
				}
			}
			k.headers(1, false, head...)
			expect(<-got, "headers 1 false "+strings.Join(head, " ")+want)
			_ = k.framer.WriteDataPadded(1, false, []byte("hello"), make([]byte, 20))
			expect(<-got, `data 1 false "hello"`)
			expect(k.next(), "headers 1 false :status=103 link=a")
			expect(k.next(), "headers 1 false :status=200 x-z=1 x-y=2 x-z=3")
			expect(k.next(), `data 1 false "abc"`)
			k.headers(1, true, "x-end=1", "x-end=2")
			expect(<-got, "headers 1 true x-end=1 x-end=2")
			expect(k.next(), "headers 1 true grpc-status=0 x-t=1 x-t=2")
			k.headers(3, true, head...)
			expect(<-got, "headers 3 true "+strings.Join(head, " ")+want)
			expect(k.next(), "headers 3 false :status=200")
			expect(k.next(), "reset 3 11")
			k.headers(5, false, head...)
			expect(<-got, "headers 5 false "+strings.Join(head, " ")+want)
			_ = k.framer.WriteRSTStream(5, http2.ErrCodeCancel)
			expect(<-got, "reset 5 8")
		})
	}
}

// TestGoAway passes an app's notice on, and keeps a laptop's to itself.
func TestGoAway(t *testing.T) {
	got := make(chan string, 10)
	serve := frames(t, got, func(k *talker, frame string) bool {
		if strings.HasPrefix(frame, "headers") {
			_ = k.framer.WriteGoAway(1, http2.ErrCodeNo, []byte("bye"))
			k.headers(1, true, ":status=200")
		}
		return true
	})
	s := newStage(t, serve, serve)
	s.rules(keyed("ann"))
	k := newTalker(t, dial(t, s.address), true)
	for _, stream := range []uint32{1, 3} { // each on a connection of its own
		k.headers(stream, true, ":method=GET", ":scheme=http", ":path=/", ":authority=x", "x-fairlead=ann")
		if frame := k.next(); frame != fmt.Sprintf("headers %d true :status=200", stream) {
			t.Errorf("got %s", frame)
		}
	}
	if n := len(s.flows.opened()); n != 2 {
		t.Errorf("%d flows were opened", n)
	}
	k.headers(5, true, ":method=GET", ":scheme=http", ":path=/", ":authority=x")
	if frame := k.next(); frame != "goaway 5 0 bye" {
		t.Errorf("got %s", frame)
	}
	if frame := k.next(); frame != "headers 5 true :status=200" {
		t.Errorf("got %s", frame)
	}
	if frame := k.next(); frame != "EOF" {
		t.Errorf("got %s", frame)
	}
}

// TestRefusedStream goes to the app: nobody has looked at it.
func TestRefusedStream(t *testing.T) {
	got := make(chan string, 10)
	s := newStage(t, serveHTTP(named("app")), frames(t, got, func(k *talker, frame string) bool {
		for stream := range 2 { // it is tried twice
			if strings.HasPrefix(frame, fmt.Sprint("data ", 1+2*stream)) {
				_ = k.framer.WriteRSTStream(uint32(1+2*stream), http2.ErrCodeRefusedStream)
			}
		}
		return true
	}))
	s.rules(keyed("ann"))
	r, _ := http.NewRequest("POST", "http://"+s.address+"/", strings.NewReader("body"))
	r.Header.Set("X-Fairlead", "ann")
	answer, err := h2Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(answer.Body); string(b) != "app POST / body" {
		t.Errorf("got %q", b)
	}
}

// TestHTTP2Lost is about a laptop's program that closes the connection, and one that does not speak HTTP/2.
func TestHTTP2Lost(t *testing.T) {
	dies := scripted(func(conn net.Conn) {
		k := newTalker(t, conn, false)
		for !strings.HasPrefix(k.next(), "headers") {
		}
	})
	old := scripted(func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1000))
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	for _, c := range []struct {
		name, method string
		laptop       func(net.Listener)
		want         string
	}{
		{"dies on get", "GET", dies, "app GET / "},
		{"dies on post", "POST", dies, "502"},
		{"speaks http 1", "POST", old, "app POST / body"},
		{"nobody listens", "POST", nobody, "app POST / body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, serveHTTP(named("app")), c.laptop)
			s.rules(keyed("ann"))
			var body io.Reader
			if c.method == "POST" {
				body = strings.NewReader("body")
			}
			r, _ := http.NewRequest(c.method, "http://"+s.address+"/", body)
			r.Header.Set("X-Fairlead", "ann")
			answer, err := h2Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(answer.Body)
			if got := string(b); got != c.want && (c.want != "502" || answer.StatusCode != 502 || !strings.Contains(got, "fairlead")) {
				t.Errorf("got %d %q", answer.StatusCode, got)
			}
		})
	}
	t.Run("grpc", func(t *testing.T) {
		s := newStage(t, serveGRPC("app"), dies)
		s.rules(keyed("ann"))
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-fairlead", "ann"), 10*time.Second)
		defer cancel()
		err := grpcClient(t, s.address).Invoke(ctx, "/test.Echo/Unary", wrapperspb.String("hi"), &wrapperspb.StringValue{})
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "fairlead: the program on the laptop") {
			t.Errorf("got %v", err)
		}
	})
}

// TestManyStreams has more streams than the servers allow at once.
func TestManyStreams(t *testing.T) {
	limit := grpc.MaxConcurrentStreams(3)
	s := newStage(t, serveGRPC("app", limit), serveGRPC("laptop", limit))
	s.rules(keyed("ann"))
	client := grpcClient(t, s.address)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			key, want := "", "app"
			if i%2 == 0 {
				key, want = "ann", "laptop"
			}
			var out wrapperspb.StringValue
			err := client.Invoke(metadata.AppendToOutgoingContext(ctx, "x-fairlead", key), "/test.Echo/Unary", wrapperspb.String("hi"), &out)
			if err != nil || out.Value != want+" hi " {
				t.Errorf("got %q, %v, want %s", out.Value, err, want)
			}
		})
	}
	group.Wait()
}

// TestBadFrames ends the connection, with the reason.
func TestBadFrames(t *testing.T) {
	for name, c := range map[string]struct {
		bytes, want string
	}{
		"data on stream 0":     {"\x00\x00\x01\x00\x00\x00\x00\x00\x00x", "goaway 0 1 "},
		"even stream":          {"\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82", "goaway 0 1 "},
		"push":                 {"\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82", "goaway 0 1 "},
		"too long":             {"\x01\x00\x00\x00\x00\x00\x00\x00\x01", "goaway 0 6 "},
		"headers not ended":    {"\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", "goaway 0 1 "},
		"bad compression":      {"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff", "goaway 0 9 "},
		"padding":              {"\x00\x00\x02\x00\x08\x00\x00\x00\x01\x05x", "goaway 0 1 "},
		"window of nothing":    {"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", "goaway 0 3 "},
		"window beyond bounds": {"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff", "goaway 0 3 "},
		"settings of odd size": {"\x00\x00\x01\x04\x00\x00\x00\x00\x00x", "goaway 0 6 "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, serveHTTP(named("app")), nobody)
			s.rules(keyed("ann"))
			conn := dial(t, s.address)
			k := newTalker(t, conn, true)
			_, _ = io.WriteString(conn, c.bytes)
			if frame := k.next(); frame != c.want {
				t.Errorf("got %s, want %s", frame, c.want)
			}
			_ = conn.Close()
			eventually(t, "the connection ends", func() bool { _, _, open := s.proxy.Reports(); return open == 0 })
		})
	}
}
