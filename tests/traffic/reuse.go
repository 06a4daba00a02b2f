// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// ReuseResult is how connections went that were opened from one port, one after the other.
type ReuseResult struct {
	Answered int     `json:"answered"`
	Slowest  float64 `json:"slowest"` // milliseconds from the dial to the end of the answer
	Error    string  `json:"error,omitempty"`
}

func reuseCommand() *cobra.Command {
	var port, times int
	var reset bool
	cmd := &cobra.Command{
		Use:   "reuse ADDRESS",
		Short: "Ask an HTTP server again and again, each time over a new connection from the same port",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var result ReuseResult
			for range times {
				began := time.Now()
				if err := askFrom(cmd.Context(), port, args[0], reset); err != nil {
					result.Error = err.Error()
					break
				}
				result.Answered++
				result.Slowest = max(result.Slowest, float64(time.Since(began).Microseconds())/1000)
			}
			return report(result)
		},
	}
	cmd.Flags().IntVar(&port, "port", 41000, "the port")
	cmd.Flags().IntVar(&times, "times", 20, "how often")
	cmd.Flags().BoolVar(&reset, "reset", false, "reset each connection when it has answered; otherwise the server closes it first")
	return cmd
}

// askFrom makes one request from a port.
func askFrom(ctx context.Context, port int, address string, reset bool) error {
	conn, err := dialFrom(ctx, port, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	keep := "close"
	if reset {
		keep = "keep-alive"
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n", address, keep); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	if reset {
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return conn.(*net.TCPConn).SetLinger(0)
	}
	n, err := io.Copy(io.Discard, conn) // to the server's end, after which the port is free
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if n == 0 {
		return errors.New("no answer")
	}
	return nil
}

// dialFrom connects from a port, which the connection before may have for a moment still.
func dialFrom(ctx context.Context, port int, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{Port: port}}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := dialer.DialContext(ctx, "tcp4", address)
		busy := errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
		if err == nil || !busy || time.Now().After(deadline) {
			return conn, err
		}
	}
}
