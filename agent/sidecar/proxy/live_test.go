// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// TestUpgradeToHTTP2 leaves an upgrade to the app, and does without one at a laptop.
func TestUpgradeToHTTP2(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
	app := head + "\r\n"
	got := make(chan string, 1)
	s := newStage(t, recorded(app, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nframes", got), nobody)
	s.rules(keyed("ann"))
	if answer := exchangeBytes(t, s.address, app+http1.Preface); !strings.HasSuffix(answer, "\r\n\r\nframes") {
		t.Errorf("got %q", answer)
	}
	if read := <-got; read != app+http1.Preface {
		t.Errorf("the app read %q", read)
	}
	laptop := "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
	s = newStage(t, nobody, recorded(laptop, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", got))
	s.rules(keyed("ann"))
	if answer := exchangeBytes(t, s.address, head+"X-Fairlead: ann\r\n\r\n"); answer != "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
		t.Errorf("got %q", answer)
	}
	if read := <-got; read != laptop {
		t.Errorf("the laptop read %q", read)
	}
}

// TestAppCloses has a connection that the app closes while it is idle be closed for the caller, and one of a laptop not.
func TestAppCloses(t *testing.T) {
	closing := make(chan struct{}, 1)
	once := func(name string) func(net.Listener) {
		return scripted(func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-From: %s\r\nContent-Length: 0\r\n\r\n", name)
			}
			closing <- struct{}{}
		})
	}
	s := newStage(t, once("app"), once("laptop"))
	s.rules(keyed("ann"))
	conn := dial(t, s.address)
	r := bufio.NewReader(conn)
	for i := range 4 {
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: ann\r\n\r\n")
		answer, err := http.ReadResponse(r, nil)
		if err != nil || answer.Header.Get("X-From") != "laptop" {
			t.Fatalf("request %d: %v, %v", i, answer, err)
		}
		<-closing
		eventually(t, "the end is noticed", func() bool { return s.proxy.all()[0].laptopEnded() })
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.Header.Get("X-From") != "app" {
		t.Fatalf("%v, %v", answer, err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the app has closed: %v", err)
	}
}

func (c *caller) laptopEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.laptop.ended
}

// TestExpect has the caller wait for the invitation, which comes from the other end.
func TestExpect(t *testing.T) {
	for _, key := range []string{"", "ann"} {
		invite := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b)
		})
		s := newStage(t, serveHTTP(invite), serveHTTP(invite))
		s.rules(keyed("ann"))
		invited := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { invited = true }})
		r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+"/", strings.NewReader("body"))
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("X-Fairlead", key)
		answer, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(answer.Body); string(b) != "body" || !invited {
			t.Errorf("key %q: got %q, invited %v", key, b, invited)
		}
	}
}

// TestBackpressure has a sender wait for a reader who does not read.
func TestBackpressure(t *testing.T) {
	read := make(chan struct{})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-read
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	for name, client := range map[string]*http.Client{"http1": {Transport: &http.Transport{}}, "h2c": h2Client()} {
		for _, key := range []string{"", "ann"} {
			t.Run(name+key, func(t *testing.T) {
				read = make(chan struct{})
				s := newStage(t, serveHTTP(app), serveHTTP(app))
				s.flows.wrapped = true
				s.rules(keyed("ann"))
				var sent atomic.Int64
				const size = 64 << 20 // more than the kernel's buffers and ours hold
				body := &counting{r: io.LimitReader(zeros{}, size), n: &sent}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+"/", body)
				r.Header.Set("X-Fairlead", key)
				got := make(chan string, 1)
				go func() {
					answer, err := client.Do(r)
					if err != nil {
						got <- err.Error()
						return
					}
					b, _ := io.ReadAll(answer.Body)
					got <- string(b)
				}()
				// It comes to rest somewhere below what the kernel's buffers and ours can hold.
				last := int64(-1)
				eventually(t, "the sender waits", func() bool {
					now := sent.Load()
					time.Sleep(50 * time.Millisecond)
					rests := now == last && now > 0
					last = now
					return rests
				})
				if last == size {
					t.Error("everything was taken without being read")
				}
				close(read)
				if got := <-got; got != fmt.Sprint(size) {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
