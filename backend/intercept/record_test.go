// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/backend/traffic"
)

// recorded waits until the records of a listener are as wanted; an open one never is.
func recorded(t *testing.T, l *listener, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	known, got := map[uint64]string{}, ""
	for batch := range l.records.Watch(ctx, "") {
		for _, r := range batch.Records {
			known[r.Number] = fmt.Sprintf("%s %s %s%s %d in=%d out=%d %s %s %s", r.Protocol, r.Method, r.Host, r.Path, r.Status, r.Received, r.Sent, r.Client, r.Went, r.Why)
			if r.Open {
				known[r.Number] += " open"
			}
		}
		lines := make([]string, len(known))
		for number, line := range known {
			lines[number-1] = strings.TrimSpace(line)
		}
		if got = strings.Join(lines, "\n"); got == strings.Join(want, "\n") {
			return
		}
		if len(known) > len(want) {
			break
		}
	}
	t.Errorf("recorded\n%s\nwant\n%s", got, strings.Join(want, "\n"))
}

// TestRequestsAreRecorded sends real requests, with bodies of sizes that are copied, read large and spliced, and sees that
// neither the bytes nor the counts are wrong.
func TestRequestsAreRecorded(t *testing.T) {
	served := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Query().Get("length") != "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		w.Header()["Date"] = nil
		w.Write(body)
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go served.Serve(listener) //nolint:errcheck // closed below
	t.Cleanup(func() { served.Close() })
	l := listening(t, &target{protocol: "TCP", address: listener.Addr().String()})
	o := tcpOpen
	o.Kind, o.Client = wire.FlowHTTP, netip.MustParseAddrPort("10.0.0.9:1234")
	conn, _ := open(t, l, o)
	reader := bufio.NewReader(conn)
	var want []string
	for _, size := range []int{0, 100, 5000, 70 << 10, 3 << 20} {
		for _, chunked := range []bool{false, true} {
			body := make([]byte, size)
			rand.Read(body)
			path := "/echo?length=1"
			if chunked {
				path = "/echo"
			}
			request, err := http.NewRequest(http.MethodPost, "http://api"+path, io.NopCloser(bytes.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			if !chunked {
				request.ContentLength = int64(size)
				if size == 0 {
					request.Body = http.NoBody
				}
			}
			var sent bytes.Buffer
			if err := request.Write(&sent); err != nil {
				t.Fatal(err)
			}
			length := sent.Len()
			go conn.Write(sent.Bytes())
			counted := &counter{r: reader}
			answer, err := http.ReadResponse(bufio.NewReaderSize(counted, 16), request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(answer.Body)
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes, chunked %v: got %d, %v", size, chunked, len(got), err)
			}
			want = append(want, fmt.Sprintf("HTTP/1.1 POST api/echo 200 in=%d out=%d 10.0.0.9 laptop", length, counted.n))
		}
	}
	recorded(t, l, want...)
}

// counter counts what is read; a bufio.Reader of 16 bytes over it reads no further than it must.
type counter struct {
	r *bufio.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestWhatFallsBackIsRecorded(t *testing.T) {
	to := nobody(t)
	l := listening(t, to)
	o := tcpOpen
	o.Kind, o.Client = wire.FlowHTTP, netip.MustParseAddrPort("[::ffff:10.0.0.9]:1234")
	open(t, l, o.ForRequest("GET", "/orders"))
	o.Kind = wire.FlowMirror
	open(t, l, o)
	o.Kind = wire.FlowProbe
	open(t, l, o)
	absent := "nothing listens on " + to.address
	recorded(t, l, "HTTP GET /orders 0 in=0 out=0 10.0.0.9 cluster "+absent, "TCP   0 in=0 out=0 10.0.0.9 cluster "+absent+"; the copy went nowhere")
}

func TestOtherConnectionsAreRecordedAsSuch(t *testing.T) {
	l := listening(t, program(t, func(c *net.TCPConn) {
		got := make([]byte, 5)
		io.ReadFull(c, got)
		c.Write(got)
	}))
	o := tcpOpen
	o.Client = netip.MustParseAddrPort("10.0.0.9:1234")
	conn, _ := open(t, l, o)
	conn.Write([]byte("\x16\x03abc"))
	io.ReadFull(conn, make([]byte, 5))
	conn.CloseWrite()
	io.ReadAll(conn)
	recorded(t, l, "TCP   0 in=5 out=5 10.0.0.9 laptop")
}

// BenchmarkCarry compares a flow that is looked at with the same bytes that are passed on by the kernel.
func BenchmarkCarry(b *testing.B) {
	const size = 1 << 20
	for _, kind := range []string{"length", "chunked", "plain"} {
		b.Run(kind, func(b *testing.B) {
			head, tail := "", ""
			switch kind {
			case "length":
				head = fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
			case "chunked":
				head, tail = fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size), "\r\n0\r\n\r\n"
			}
			message := []byte(head + strings.Repeat("x", size) + tail)
			gateway, caller := pipe(b)
			local, program := pipe(b)
			go carry(gateway, local, traffic.NewLog().Observe(traffic.Flow{}))
			go func() {
				for {
					if _, err := caller.Write(message); err != nil {
						return
					}
				}
			}()
			b.SetBytes(int64(len(message)))
			buffer := make([]byte, 256<<10)
			answer := []byte("HTTP/1.1 204 x\r\n\r\n")
			for b.Loop() {
				for left := len(message); left > 0; {
					n, err := program.Read(buffer[:min(left, len(buffer))])
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
				if kind != "plain" {
					program.Write(answer)
				}
			}
			b.StopTimer()
			caller.Close()
			program.Close()
		})
	}
}

// pipe is a pair of connected sockets.
func pipe(b *testing.B) (one, other net.Conn) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	if one, err = net.Dial("tcp", listener.Addr().String()); err == nil {
		other, err = listener.Accept()
	}
	if err != nil {
		b.Fatal(err)
	}
	return one, other
}
