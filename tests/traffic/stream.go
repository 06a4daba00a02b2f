// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// streamBlock is the size of one numbered block in bytes: some segments, so that data is always in flight.
const streamBlock = 4096

// StreamResult is what became of one long-lived connection.
type StreamResult struct {
	Blocks       uint64  `json:"blocks"`       // echoed and found to be right
	LongestStall float64 `json:"longestStall"` // seconds between two blocks
	Error        string  `json:"error,omitempty"`
}

func streamCommand() *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "stream ADDRESS",
		Short: "Keep one TCP connection to an echo service busy until interrupted; every byte is checked",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return report(stream(cmd.Context(), args[0], every))
		},
	}
	cmd.Flags().DurationVar(&every, "every", 5*time.Millisecond, "time between two blocks")
	return cmd
}

// stream sends numbered blocks until ctx is done and checks that each comes back in order. A line on standard output
// after the first block says that the connection is in use.
func stream(ctx context.Context, address string, every time.Duration) StreamResult {
	var result StreamResult
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	defer conn.Close()
	var sent atomic.Uint64
	writeError := make(chan error, 1)
	go func() { writeError <- writeBlocks(ctx, conn, every, &sent) }()
	if err := readBlocks(conn, &result); err != nil {
		result.Error = err.Error()
	}
	if err := <-writeError; err != nil && result.Error == "" {
		result.Error = err.Error()
	}
	if result.Error == "" && result.Blocks != sent.Load() {
		result.Error = fmt.Sprintf("%d blocks were sent, %d came back", sent.Load(), result.Blocks)
	}
	return result
}

// writeBlocks writes a block at a time and half-closes the connection when ctx is done.
func writeBlocks(ctx context.Context, conn net.Conn, every time.Duration, sent *atomic.Uint64) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for number := uint64(0); ; number++ {
		select {
		case <-ctx.Done():
			return conn.(*net.TCPConn).CloseWrite()
		case <-tick.C:
		}
		if _, err := conn.Write(block(number)); err != nil {
			return fmt.Errorf("write block %d: %w", number, err)
		}
		sent.Store(number + 1)
	}
}

// readBlocks reads until the other side closes and checks every block.
func readBlocks(conn net.Conn, result *StreamResult) error {
	buf := make([]byte, streamBlock)
	last := time.Now()
	for {
		_, err := io.ReadFull(conn, buf)
		result.LongestStall = max(result.LongestStall, time.Since(last).Seconds())
		last = time.Now()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read block %d: %w", result.Blocks, err)
		}
		if !bytes.Equal(buf, block(result.Blocks)) {
			return fmt.Errorf("block %d came back changed", result.Blocks)
		}
		if result.Blocks++; result.Blocks == 1 {
			fmt.Println(`{"started":true}`)
		}
	}
}

// block is the block of a number: the number, over and over.
func block(number uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], number)
	return bytes.Repeat(b[:], streamBlock/8)
}
