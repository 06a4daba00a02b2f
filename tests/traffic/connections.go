// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// ConnectionsResult is what became of many connections.
type ConnectionsResult struct {
	Held    int64  `json:"held"`    // at once, at the end
	Opened  int64  `json:"opened"`  // in all
	Refused int64  `json:"refused"` // could not be opened
	Lost    int64  `json:"lost"`    // broke, or did not echo, after they had been opened
	Error   string `json:"error,omitempty"`
}

func connectionsCommand() *cobra.Command {
	var hold int
	var rate float64
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "connections ADDRESS",
		Short: "Hold many connections to an echo service, each asked now and then, while more come and go",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := &connections{address: args[0]}
			c.run(cmd.Context(), hold, rate, duration)
			return report(c.result())
		},
	}
	cmd.Flags().IntVar(&hold, "hold", 5000, "connections held at once")
	cmd.Flags().Float64Var(&rate, "new", 10000, "further connections a minute, each closed after one echo")
	cmd.Flags().DurationVar(&duration, "for", 5*time.Minute, "how long")
	return cmd
}

// connections counts what happens to connections of one address.
type connections struct {
	address                     string
	held, opened, refused, lost atomic.Int64
	firstError                  atomic.Pointer[string]
}

// run holds a number of connections, echoing a line on each every ten seconds, and opens others at a rate.
func (c *connections) run(ctx context.Context, hold int, rate float64, duration time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	opening := make(chan struct{}, 64) // dials under way at once, as a program with a pool would
	for range hold {
		all.Go(func() { c.holdOne(ctx, opening) })
	}
	if rate <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(time.Duration(float64(time.Minute) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			all.Go(func() { c.openOnce(ctx) })
		}
	}
}

func (c *connections) holdOne(ctx context.Context, opening chan struct{}) {
	opening <- struct{}{}
	conn := c.open(ctx)
	<-opening
	if conn == nil {
		return
	}
	defer conn.Close()
	for {
		if !c.echo(ctx, conn) {
			return
		}
		if ctx.Err() != nil {
			c.held.Add(1)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

func (c *connections) openOnce(ctx context.Context) {
	if conn := c.open(ctx); conn != nil {
		c.echo(ctx, conn)
		conn.Close()
	}
}

// open dials; a dial cut short by the end of the run counts as nothing.
func (c *connections) open(ctx context.Context) net.Conn {
	dialer := net.Dialer{Timeout: 20 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		if ctx.Err() == nil {
			c.refused.Add(1)
			c.note(err)
		}
		return nil
	}
	c.opened.Add(1)
	return conn
}

// echo sends a line and waits for it.
func (c *connections) echo(ctx context.Context, conn net.Conn) bool {
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	buf := []byte("still there?\n")
	_, err := conn.Write(buf)
	if err == nil {
		_, err = io.ReadFull(conn, buf)
	}
	if err != nil {
		c.lost.Add(1)
		c.note(fmt.Errorf("echo: %w", err))
	}
	return err == nil
}

func (c *connections) note(err error) {
	text := err.Error()
	c.firstError.CompareAndSwap(nil, &text)
}

func (c *connections) result() ConnectionsResult {
	r := ConnectionsResult{Held: c.held.Load(), Opened: c.opened.Load(), Refused: c.refused.Load(), Lost: c.lost.Load()}
	if first := c.firstError.Load(); first != nil {
		r.Error = *first
	}
	return r
}
