// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// stuckAfter is how long the API server may leave what was sent to it without a word before the connection counts as stuck, for
// who knows that the network was away.
const stuckAfter = 300 * time.Millisecond

// open are the connections of API calls. The zero value is ready. It is safe for concurrent use.
type open struct {
	mu    sync.Mutex
	conns map[*watchedConn]struct{}
}

// watchedConn knows if the other end has said anything since something was sent to it.
type watchedConn struct {
	net.Conn
	from  *open
	asked atomic.Int64 // since when something sent had nothing after it, Unix nanoseconds; 0 if that is not so
}

// dial makes connections that are kept in mind.
func (o *open) dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		watched := &watchedConn{Conn: conn, from: o}
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.conns == nil {
			o.conns = map[*watchedConn]struct{}{}
		}
		o.conns[watched] = struct{}{}
		return watched, nil
	}
}

// closeStuck closes the connections that have got no answer for stuckAfter.
func (o *open) closeStuck(now time.Time) {
	o.mu.Lock()
	var stuck []*watchedConn
	for conn := range o.conns {
		if asked := conn.asked.Load(); asked != 0 && now.Sub(time.Unix(0, asked)) > stuckAfter {
			stuck = append(stuck, conn)
		}
	}
	o.mu.Unlock()
	for _, conn := range stuck {
		_ = conn.Close() // whoever waits for it is told so
	}
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.asked.Store(0)
	}
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	c.asked.CompareAndSwap(0, time.Now().UnixNano())
	return c.Conn.Write(p)
}

func (c *watchedConn) Close() error {
	c.from.mu.Lock()
	delete(c.from.conns, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}
