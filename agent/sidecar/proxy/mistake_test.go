// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// TestOurMistake costs one connection, and says so.
func TestOurMistake(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), nobody)
	dialApp, first := s.proxy.options.DialApp, atomic.Bool{}
	s.proxy.options.DialApp = func(ctx context.Context, port uint16, family netip.Addr) (net.Conn, error) {
		conn, err := dialApp(ctx, port, family)
		if first.CompareAndSwap(false, true) {
			return panicking{conn}, err
		}
		return conn, err
	}
	var logged bytes.Buffer
	s.proxy.logger = slog.New(slog.NewTextHandler(&logged, nil))
	s.rules(keyed("ann"))
	conn := dial(t, s.address)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("it was answered")
	}
	if got := get(t, http.DefaultClient, s.address, ""); got != "app GET /a?b=c " {
		t.Errorf("the next connection: %q", got)
	}
	eventually(t, "only that one is open", func() bool { _, _, open := s.proxy.Reports(); return open == 1 })
	if !strings.Contains(logged.String(), "as asked by the test") {
		t.Errorf("logged %q", logged.String())
	}
}

type panicking struct{ net.Conn }

func (panicking) Write([]byte) (int, error) { panic("as asked by the test") }
