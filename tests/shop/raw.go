// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sync/errgroup"
)

// whoami as a whole message asks a service of raw bytes or messages for its pod and the caller's address.
const whoami = "whoami"

func describeCaller(self identity, caller string) string {
	return fmt.Sprintf("%s sees %s", self.Pod, caller)
}

// runLedger echoes bytes over TCP on port 7000. On port 7001 the server speaks first: it sends a line with its pod's
// name and the caller's address, and then echoes. A caller that closes its sending half still gets everything back.
func runLedger(ctx context.Context, self identity) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveTCP(ctx, ":7000", func(*net.TCPConn) string { return "" }) })
	group.Go(func() error {
		return serveTCP(ctx, ":7001", func(conn *net.TCPConn) string {
			return describeCaller(self, conn.RemoteAddr().String()) + "\n"
		})
	})
	return group.Wait()
}

// serveTCP sends the greeting and then echoes, on each connection, until ctx is done.
func serveTCP(ctx context.Context, address string, greeting func(*net.TCPConn) string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go echoBytes(ctx, conn.(*net.TCPConn), greeting)
	}
}

func echoBytes(ctx context.Context, conn *net.TCPConn, greeting func(*net.TCPConn) string) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, greeting(conn)); err != nil {
		return
	}
	// The deferred Close ends the other half, once the caller has ended its own.
	_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 64<<10))
}

// runEcho echoes datagrams on UDP port 7007. Health is served on TCP port 8080.
func runEcho(ctx context.Context, self identity) error {
	conn, err := net.ListenPacket("udp", ":7007")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveHTTP(ctx, ":8080", newMux(self)) })
	group.Go(func() error { return echoDatagrams(conn, self) })
	return group.Wait()
}

// echoDatagrams sends every datagram back. The datagram "whoami" gets the pod's name and the caller's address.
func echoDatagrams(conn net.PacketConn, self identity) error {
	buffer := make([]byte, 65535)
	for {
		size, caller, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive datagram: %w", err)
		}
		message := buffer[:size]
		if string(message) == whoami {
			message = []byte(describeCaller(self, caller.String()))
		}
		// A caller that is gone makes this fail; the others must not suffer.
		_, _ = conn.WriteTo(message, caller)
	}
}
