// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

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
