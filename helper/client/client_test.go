// SPDX-License-Identifier: Apache-2.0

//go:build unix

package client

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// silentHelper accepts connections and says nothing. Each connection is handed to the test.
func silentHelper(t *testing.T) (path string, accepted <-chan net.Conn) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "h.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	conns := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	return path, conns
}

func TestNoHelper(t *testing.T) {
	if _, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestHelperThatGoesAway(t *testing.T) {
	path, accepted := silentHelper(t)
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	conn := <-accepted
	go func() {
		_, _ = api.ReadFrame(conn)
		_ = conn.Close()
	}()
	for range 2 { // the second call finds the connection broken already
		if _, err := c.Version(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestCallThatIsGivenUpEndsTheSession(t *testing.T) {
	path, accepted := silentHelper(t)
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	conn := <-accepted
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := c.Up(ctx, api.UpRequest{})
		result <- err
	}()
	if _, err := api.ReadFrame(conn); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := api.ReadFrame(conn); err == nil {
		t.Error("the control connection, and the session with it, goes on")
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCloseEndsCallsAndWatches(t *testing.T) {
	path, accepted := silentHelper(t)
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	result := make(chan error, 2)
	go func() { result <- c.Watch(t.Context(), "session", func(api.Status) bool { return true }) }()
	go func() {
		conn, err := c.Carrier(t.Context(), "session")
		if err == nil {
			err = conn.Close()
		}
		result <- err
	}()
	<-accepted
	<-accepted
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}
