// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/coder/websocket"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Reply is one answer and how long it took.
type Reply struct {
	Text    string  `json:"text"`
	From    string  `json:"from,omitempty"`
	Seconds float64 `json:"seconds"`
}

func datagramCommand() *cobra.Command {
	var size int
	cmd := &cobra.Command{
		Use:   "datagram ADDRESS TEXT",
		Short: "Send one UDP datagram and print the answer",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			payload := []byte(args[1])
			if size > len(payload) {
				payload = append(payload, bytes.Repeat([]byte{'.'}, size-len(payload))...)
			}
			started := time.Now()
			conn, err := net.Dial("udp", args[0])
			if err != nil {
				return fmt.Errorf("dial: %w", err)
			}
			defer conn.Close()
			if _, err := conn.Write(payload); err != nil {
				return fmt.Errorf("send a datagram: %w", err)
			}
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			buf := make([]byte, 65535)
			n, err := conn.Read(buf)
			if err != nil {
				return fmt.Errorf("wait for the answer: %w", err)
			}
			return report(Reply{Text: string(buf[:n]), From: conn.RemoteAddr().String(), Seconds: time.Since(started).Seconds()})
		},
	}
	cmd.Flags().IntVar(&size, "size", 0, "pad the datagram to this many bytes")
	return cmd
}

func grpcCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "grpc ADDRESS",
		Short: "Ask the standard gRPC health service, once and as a stream",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			started := time.Now()
			conn, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return fmt.Errorf("dial: %w", err)
			}
			defer conn.Close()
			health := grpc_health_v1.NewHealthClient(conn)
			unary, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			if err != nil {
				return fmt.Errorf("unary call: %w", err)
			}
			stream, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
			if err != nil {
				return fmt.Errorf("open a stream: %w", err)
			}
			first, err := stream.Recv()
			if err != nil {
				return fmt.Errorf("read from the stream: %w", err)
			}
			return report(Reply{Text: unary.Status.String() + " " + first.Status.String(), Seconds: time.Since(started).Seconds()})
		},
	}
}

func webSocketCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "websocket URL TEXT",
		Short: "Send one WebSocket message and print the answer",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			started := time.Now()
			conn, _, err := websocket.Dial(ctx, args[0], nil)
			if err != nil {
				return fmt.Errorf("dial: %w", err)
			}
			defer conn.CloseNow()
			if err := conn.Write(ctx, websocket.MessageText, []byte(args[1])); err != nil {
				return fmt.Errorf("send a message: %w", err)
			}
			_, answer, err := conn.Read(ctx)
			if err != nil {
				return fmt.Errorf("wait for the answer: %w", err)
			}
			conn.Close(websocket.StatusNormalClosure, "")
			return report(Reply{Text: string(answer), Seconds: time.Since(started).Seconds()})
		},
	}
}
