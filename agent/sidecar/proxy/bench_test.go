// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Each benchmark reports what it measures of the direct way and of the way through the proxy in turns, and the ratio: other
// work on the machine strikes both.

// lean asks and reads answers without an HTTP library, so that the client is not what is measured.
func lean(conn net.Conn, r *bufio.Reader, request []byte, answer []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	_, err := io.ReadFull(r, answer)
	return err
}

const leanAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"

// serveLean answers each read that ends a head.
func serveLean(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			b := make([]byte, 4096)
			for {
				if _, err := conn.Read(b); err != nil {
					return
				}
				if _, err := io.WriteString(conn, leanAnswer); err != nil {
					return
				}
			}
		}()
	}
}

var plainRequest = []byte("GET /products?limit=10 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nbaggage: user=1,tenant=shop\r\n\r\n")

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Hello, world!") }

// answerSize is how many bytes an answer to the request has.
func answerSize(b *testing.B, address string, request []byte) int {
	conn := dial(b, address)
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(conn)
	counted := &counter{r: r}
	answer, err := http.ReadResponse(bufio.NewReaderSize(counted, 1<<16), nil)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return counted.n
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

func benchStage(b *testing.B, app func(net.Listener)) *stage {
	s := newStage(b, app, nobody)
	s.rules(keyed("ann"))
	return s
}

// BenchmarkLatency asks on one connection, one request after the other.
func BenchmarkLatency(b *testing.B) {
	for name, app := range map[string]func(net.Listener){"net-http": serveHTTP(http.HandlerFunc(hello)), "lean": serveLean} {
		b.Run(name, func(b *testing.B) {
			s := benchStage(b, app)
			answer := make([]byte, answerSize(b, s.app, plainRequest))
			var took [2][]time.Duration
			conns := [2]net.Conn{dial(b, s.app), dial(b, s.address)}
			readers := [2]*bufio.Reader{bufio.NewReader(conns[0]), bufio.NewReader(conns[1])}
			for b.Loop() {
				for i := range conns {
					started := time.Now()
					if err := lean(conns[i], readers[i], plainRequest, answer); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], time.Since(started))
				}
			}
			direct, through := median(took[0]), median(took[1])
			b.ReportMetric(float64(direct.Nanoseconds())/1e3, "direct-p50-µs")
			b.ReportMetric(float64(through.Nanoseconds())/1e3, "proxy-p50-µs")
			b.ReportMetric(float64((through-direct).Nanoseconds())/1e3, "over-µs")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkThroughput asks on 32 connections at once.
func BenchmarkThroughput(b *testing.B) {
	for name, app := range map[string]func(net.Listener){"net-http": serveHTTP(http.HandlerFunc(hello)), "lean": serveLean} {
		b.Run(name, func(b *testing.B) {
			s := benchStage(b, app)
			size := answerSize(b, s.app, plainRequest)
			var took [2]time.Duration
			const each = 200
			n := 0
			for b.Loop() {
				for i, address := range []string{s.app, s.address} {
					took[i] += hammer(b, address, 32, each, size)
				}
				n += 32 * each
			}
			b.ReportMetric(float64(n)/took[0].Seconds(), "direct-req/s")
			b.ReportMetric(float64(n)/took[1].Seconds(), "proxy-req/s")
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
		})
	}
}

// hammer sends requests on several connections and tells how long it took.
func hammer(b *testing.B, address string, connections, each, size int) time.Duration {
	var conns []net.Conn
	for range connections {
		conn := dial(b, address)
		defer conn.Close()
		conns = append(conns, conn)
	}
	var group sync.WaitGroup
	started := time.Now()
	for _, conn := range conns {
		group.Go(func() {
			r := bufio.NewReader(conn)
			answer := make([]byte, size)
			for range each {
				if err := lean(conn, r, plainRequest, answer); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(started)
}

// BenchmarkThroughputUsual does so with the standard library at both ends.
func BenchmarkThroughputUsual(b *testing.B) {
	s := benchStage(b, serveHTTP(http.HandlerFunc(hello)))
	var took [2]time.Duration
	const each = 100
	n := 0
	for b.Loop() {
		for i, address := range []string{s.app, s.address} {
			client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 32, MaxIdleConnsPerHost: 32}}
			var group sync.WaitGroup
			started := time.Now()
			for range 32 {
				group.Go(func() {
					for range each {
						answer, err := client.Get("http://" + address + "/products?limit=10")
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, answer.Body)
						_ = answer.Body.Close()
					}
				})
			}
			group.Wait()
			took[i] += time.Since(started)
			client.CloseIdleConnections()
		}
		n += 32 * each
	}
	b.ReportMetric(float64(n)/took[0].Seconds(), "direct-req/s")
	b.ReportMetric(float64(n)/took[1].Seconds(), "proxy-req/s")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
}

// BenchmarkStream moves one long body to the caller and one to the app.
func BenchmarkStream(b *testing.B) {
	const size = 256 << 20
	block := make([]byte, 1<<20)
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		for range size / len(block) {
			_, _ = w.Write(block)
		}
	})
	for _, c := range []struct{ name, method, path string }{{"down", "GET", "/length"}, {"down-chunked", "GET", "/chunked"}, {"up", "POST", "/"}} {
		b.Run(c.name, func(b *testing.B) {
			s := benchStage(b, serveHTTP(app))
			var took [2]time.Duration
			n := 0
			for b.Loop() {
				for i, address := range []string{s.app, s.address} {
					var body io.Reader
					if c.method == "POST" {
						body = io.LimitReader(zeros{}, size)
					}
					r, _ := http.NewRequest(c.method, "http://"+address+c.path, body)
					if body != nil {
						r.ContentLength = size
					}
					started := time.Now()
					answer, err := http.DefaultClient.Do(r)
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{answer.Body}, block)
					_ = answer.Body.Close()
					took[i] += time.Since(started)
				}
				n++
			}
			b.ReportMetric(float64(n)*size/1e6/took[0].Seconds(), "direct-MB/s")
			b.ReportMetric(float64(n)*size/1e6/took[1].Seconds(), "proxy-MB/s")
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
