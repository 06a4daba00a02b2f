// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// TestDrain lets go of connections: those that are idle are closed, those that are busy end as they are.
func TestDrain(t *testing.T) {
	hold := make(chan struct{})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-hold
		}
		_, _ = io.WriteString(w, "done")
	})
	s := newStage(t, serveHTTP(app), serveHTTP(app))
	s.rules(keyed("ann"))
	idle, busy := dial(t, s.address), dial(t, s.address)
	readers := map[net.Conn]*bufio.Reader{idle: bufio.NewReader(idle), busy: bufio.NewReader(busy)}
	for conn, path := range map[net.Conn]string{idle: "/", busy: "/slow"} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		answer, err := http.ReadResponse(readers[conn], nil)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/" {
			_, _ = io.ReadAll(answer.Body)
		}
	}
	multiplexed := h2Client()
	if answer, err := multiplexed.Get("http://" + s.address + "/"); err != nil {
		t.Fatal(err)
	} else {
		_, _ = io.ReadAll(answer.Body)
	}
	slow := make(chan string, 1)
	go func() {
		answer, err := multiplexed.Get("http://" + s.address + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		b, err := io.ReadAll(answer.Body)
		slow <- fmt.Sprint(string(b), err)
	}()
	eventually(t, "the slow stream is open", func() bool {
		for _, c := range s.proxy.all() {
			if h := c.http2(); h != nil && h.count() == 1 {
				return true
			}
		}
		return false
	})
	s.proxy.Drain("Gentle")
	if _, err := readers[idle].ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	close(hold)
	if got := <-slow; got != "done<nil>" {
		t.Errorf("the slow stream: %s", got)
	}
	if answer, err := readers[busy].ReadString('d'); err != nil || !strings.HasSuffix(answer, "d") {
		t.Errorf("the busy connection: %q, %v", answer, err)
	}
	_ = idle.Close()
	eventually(t, "all connections end", func() bool { _, _, open := s.proxy.Reports(); return open == 0 })
}

// TestThePodEnds: laptops' answers are the last of their connection then, and come also when the app has gone. The app's answers
// are left as they are.
func TestThePodEnds(t *testing.T) {
	laptop := scripted(func(conn net.Conn) {
		requests := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			if request.Header.Get("Expect") != "" {
				_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-From: laptop\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	s := newStage(t, serveHTTP(named("app")), laptop)
	s.rules(keyed("ann"))
	type kept struct {
		conn    net.Conn
		answers *bufio.Reader
	}
	open := func() kept {
		conn := dial(t, s.address)
		return kept{conn, bufio.NewReader(conn)}
	}
	ask := func(k kept, key, more string) (from string, last bool) {
		t.Helper()
		fmt.Fprintf(k.conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Fairlead: %s\r\n%sContent-Length: 0\r\n\r\n", key, more)
		for {
			answer, err := http.ReadResponse(k.answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode == http.StatusContinue {
				continue
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Fatal(err)
			}
			return answer.Header.Get("X-From"), answer.Close
		}
	}
	hers, others, late, idle := open(), open(), open(), open()
	for k, key := range map[kept]string{hers: "ann", others: "bob", late: "ann", idle: "ann"} {
		if _, last := ask(k, key, ""); last {
			t.Errorf("the answer to %s is the last", key)
		}
	}
	s.proxy.PodEnds()
	if from, last := ask(others, "bob", ""); from != "app" || last {
		t.Errorf("others: answered by %s, the last: %t", from, last)
	}
	if from, last := ask(hers, "ann", "Expect: 100-continue\r\n"); from != "laptop" || !last {
		t.Errorf("hers: answered by %s, the last: %t", from, last)
	}
	if _, err := hers.answers.ReadByte(); err != io.EOF {
		t.Errorf("her connection after the last answer: %v", err)
	}
	s.app = ""
	s.proxy.AppGone("Gentle")
	if from, last := ask(late, "ann", ""); from != "laptop" || !last {
		t.Errorf("when the app has gone: answered by %s, the last: %t", from, last)
	}
	if _, err := idle.answers.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
	for _, k := range []kept{hers, others, late, idle} {
		_ = k.conn.Close()
	}
	eventually(t, "all connections end", func() bool { _, _, open := s.proxy.Reports(); return open == 0 })
}

// TestThePodEndsForAll: a connection that went to a laptop as a whole, and is idle, does not keep the pod from ending.
func TestThePodEndsForAll(t *testing.T) {
	s := newStage(t, nobody, scripted(func(conn net.Conn) { _, _ = io.Copy(conn, conn) }))
	s.rules(everything())
	conn := dial(t, s.address)
	for _, step := range []func(){func() {}, s.proxy.PodEnds} {
		step()
		if _, err := conn.Write([]byte("\x01")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	s.proxy.AppGone("Gentle")
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v", err)
	}
	eventually(t, "it ends", func() bool { _, _, open := s.proxy.Reports(); return open == 0 })
}

func (c *caller) http2() *h2conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h2
}

func (h *h2conn) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

func TestForce(t *testing.T) {
	s := newStage(t, scripted(func(conn net.Conn) { _, _ = io.Copy(conn, conn) }), nobody)
	s.order(wire.PortOrder{Rules: []wire.Rule{keyed("ann")}, Takeover: "Force"})
	conn := dial(t, s.address)
	_, _ = conn.Write([]byte("\x01"))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.proxy.SetPorts(nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// TestRulesComeAndGo asks while intercepts come and go all the time: each request is answered, by the laptop or by the app,
// also where the connection to the laptop is given up at that moment.
func TestRulesComeAndGo(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	const callers, changes = 4, 4000
	ended := make(chan struct{})
	var all sync.WaitGroup
	for range callers {
		conn := dial(t, s.address)
		all.Go(func() {
			answers := bufio.NewReader(conn)
			for n := 0; !isClosed(ended); n++ {
				if err := ask(conn, answers, "ann"); err != nil {
					t.Errorf("request %d: %v", n, err)
					return
				}
			}
		})
	}
	other := wire.Rule{Intercept: "uid-bob", Match: &wire.Match{Key: "bob"}} // so that the port stays redirected
	for i := range changes {
		if i%2 == 0 {
			s.rules(keyed("ann"), other)
		} else {
			s.rules(other)
		}
		time.Sleep(time.Duration(i%5) * 50 * time.Microsecond)
	}
	close(ended)
	all.Wait()
}

// TestProgramsCloseAnyTime asks an app and a laptop's program that close connections some time after an answer. A caller may
// find its own connection closed then, as the app's would be, but none waits in vain.
func TestProgramsCloseAnyTime(t *testing.T) {
	restless := scripted(func(conn net.Conn) {
		requests := bufio.NewReader(conn)
		for n := 0; n < 1+rand.IntN(3); n++ {
			if _, err := http.ReadRequest(requests); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	})
	s := newStage(t, restless, restless)
	s.rules(keyed("ann"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var conn *net.TCPConn
			var answers *bufio.Reader
			for n := range 3000 {
				if conn == nil {
					conn = dial(t, s.address)
					answers = bufio.NewReader(conn)
				}
				err := ask(conn, answers, []string{"ann", "nobody"}[rand.IntN(2)])
				if isDeadline(err) {
					t.Errorf("request %d: %v", n, err)
					return
				}
				if err != nil {
					_ = conn.Close()
					conn = nil
				}
			}
		})
	}
	all.Wait()
}

// ask asks with a key on a kept connection, and reads the answer.
func ask(conn net.Conn, answers *bufio.Reader, key string) error {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Fairlead: %s\r\n\r\n", key); err != nil {
		return err
	}
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
