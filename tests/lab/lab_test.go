// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// free returns an address of this machine that nobody listens at.
func free(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.LocalAddr().String()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestChecksHoldWithNothingInBetween runs every check straight against a server: what fails here says nothing about what
// lies in between elsewhere.
func TestChecksHoldWithNothingInBetween(t *testing.T) {
	s := settings{name: "direct", web: free(t, "tcp"), raw: free(t, "tcp"), tap: free(t, "tcp"), udp: free(t, "udp")}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for _, address := range []string{s.web, s.raw, s.tap} {
		for {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case err := <-served:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	to := target{web: s.web, raw: s.raw, udp: s.udp, tap: s.tap, header: http.Header{"X-Fairlead": {"key"}}, limit: 15 * time.Second}
	for _, check := range checks {
		t.Run(check.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), to.limit)
			defer cancel()
			if server, err := check.run(ctx, to); err != nil || server != s.name {
				t.Errorf("answered by %q: %v", server, err)
			}
		})
	}
}
