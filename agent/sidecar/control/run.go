// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 2 * time.Second
	// heartbeat is a little faster than what the other end waits for.
	heartbeat = wire.HeartbeatInterval * 4 / 5
	// reportPause keeps reports of many changes at once apart.
	reportPause = 20 * time.Millisecond
	// GiveUpAfter is how long a sidecar without a gateway goes on trying.
	GiveUpAfter = 15 * time.Minute
	// staySlowly is between attempts of a sidecar that has nothing to do but can't end: that was born with its pod, and whose
	// end Kubernetes would take for a crash.
	staySlowly = 5 * time.Second
)

// Client keeps the sidecar connected with the gateway, and ends with its work.
type Client struct {
	Gateway *Gateway
	Duty    *Duty
	Pool    *Pool
	Log     *slog.Logger
	// Stays: without work, wait for more instead of ending.
	Stays bool

	mu      sync.Mutex
	ordered bool      // an order was carried out, at some time
	heard   time.Time // the gateway, by an order
	empty   time.Time // since when there is nothing to do
	linger  time.Duration
}

// errFinal: trying again is of no use.
var errFinal = errors.New("the gateway has no more work for this sidecar")

// Run connects, obeys and reports until there is nothing left to do or the context ends; then every redirect is away. Open
// connections may remain: Duty.Open counts them.
func (c *Client) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { c.Pool.Run(ctx) })
	beside.Go(func() { c.Duty.Probe(ctx) })
	beside.Go(func() { c.look(ctx) })
	// The redirects go first, whatever else is under way.
	stop := context.AfterFunc(ctx, c.Duty.End)
	c.listen(time.Now())
	c.connect(ctx)
	stop()
	cancel()
	c.Duty.End()
	beside.Wait()
}

// Ordered reports whether an order was carried out at some time.
func (c *Client) Ordered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ordered
}

func (c *Client) listen(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = now
}

func (c *Client) silence(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.heard)
}

// look looks at the app's ports, and puts the redirects away while the gateway is silent.
func (c *Client) look(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if c.silence(now) > wire.SilenceLimit {
				c.Duty.Hear(false)
			}
			c.Duty.Look()
		case <-ctx.Done():
			return
		}
	}
}

// connect connects again and again.
func (c *Client) connect(ctx context.Context) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if said := (refusal{}); errors.As(err, &said) && said.Final {
			err = errors.Join(errFinal, err)
		}
		over := errors.Is(err, errFinal) || c.done(time.Now()) || c.silence(time.Now()) > GiveUpAfter
		if over {
			c.Log.Info("no work", "reason", err)
			c.rest()
			if !c.Stays {
				return
			}
		} else {
			c.Log.Debug("not connected", "error", err)
		}
		if time.Since(began) > lastBackoff {
			backoff = firstBackoff
		}
		wait := backoff
		if over {
			wait = staySlowly
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// rest puts everything away, as an order to do nothing does.
func (c *Client) rest() { c.Duty.Apply(wire.Order{}) }

// session is one control connection. It returns why that ended.
func (c *Client) session(ctx context.Context) error {
	conn, err := c.Gateway.dial(ctx, wire.PurposeControl)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.Pool.Set(false, false)
	orders := make(chan wire.Order)
	lost := make(chan error, 1)
	go func() { lost <- read(ctx, conn, orders) }()

	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case order := <-orders:
			c.obey(order)
			err = c.report(conn)
		case <-c.Duty.Changed():
			err = c.report(conn)
			time.Sleep(reportPause)
		case <-beat.C:
			err = c.report(conn)
		case err = <-lost:
		case <-ctx.Done():
			c.Duty.End()
			_ = c.report(conn) // so that the gateway hears of it
			return ctx.Err()
		}
		if err == nil && c.done(time.Now()) {
			err = errFinal
		}
		if err != nil {
			return err
		}
	}
}

// read passes orders on. Silence ends it.
func read(ctx context.Context, conn net.Conn, orders chan<- wire.Order) error {
	for {
		if err := conn.SetReadDeadline(time.Now().Add(wire.SilenceLimit)); err != nil {
			return err
		}
		var order wire.Order
		if err := wire.ReadMessage(conn, &order, wire.MaxMessage); err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		if err := order.Validate(); err != nil {
			return fmt.Errorf("the order is wrong: %w", err)
		}
		select {
		case orders <- order:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// obey carries an order out, if it is a new one.
func (c *Client) obey(order wire.Order) {
	now := time.Now()
	c.listen(now)
	if order.Unchanged {
		c.Duty.Hear(true)
		return
	}
	// Probes begin with the order, so the way has to be open before.
	c.Pool.Set(true, wantsFlows(order))
	c.Duty.Apply(order)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ordered = true
	c.linger = time.Duration(order.Linger) * time.Second
	switch {
	case len(order.Ports) > 0:
		c.empty = time.Time{}
	case c.empty.IsZero():
		c.empty = now
	}
}

// wantsFlows reports whether any rule may take something.
func wantsFlows(order wire.Order) bool {
	for _, port := range order.Ports {
		for _, rule := range port.Rules {
			if !rule.Suspended {
				return true
			}
		}
	}
	return false
}

// done reports whether the sidecar has had nothing to do for so long that it ends.
func (c *Client) done(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.Stays && !c.empty.IsZero() && now.Sub(c.empty) >= c.linger
}

func (c *Client) report(conn net.Conn) error {
	if err := conn.SetWriteDeadline(time.Now().Add(wire.SilenceLimit)); err != nil {
		return err
	}
	return wire.WriteMessage(conn, c.Duty.Report(), wire.MaxMessage)
}
