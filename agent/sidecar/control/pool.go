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

// Conn is a flow.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Pool opens flows to laptops. It keeps a few authenticated connections ready, so that opening a flow takes one round trip.
// It is safe for concurrent use.
type Pool struct {
	dial func(ctx context.Context) (Conn, error)
	log  *slog.Logger

	mu      sync.Mutex
	up      bool // the gateway is there
	wanted  int
	idle    []idleConn
	missing chan struct{}
}

type idleConn struct {
	Conn
	since time.Time
}

const (
	// poolSize is how many connections wait while there is something to intercept.
	poolSize = 3
	// maxIdle is how long a connection waits before it is replaced: less than what gateways and networks forget.
	maxIdle = 30 * time.Second
	// pause after a dial that went wrong.
	poolPause = 200 * time.Millisecond
)

var errAway = errors.New("the gateway is away")

// NewPool returns a pool that dials by the gateway. Run has to be called.
func NewPool(gateway *Gateway, log *slog.Logger) *Pool {
	return newPool(func(ctx context.Context) (Conn, error) {
		conn, err := gateway.dial(ctx, wire.PurposeFlow)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}, log)
}

func newPool(dial func(ctx context.Context) (Conn, error), log *slog.Logger) *Pool {
	return &Pool{dial: dial, log: log, missing: make(chan struct{}, 1)}
}

// Set says if the gateway is there, and if flows are to be expected. While it is not there, Open fails at once.
func (p *Pool) Set(up, expected bool) {
	p.mu.Lock()
	p.up, p.wanted = up, 0
	if up && expected {
		p.wanted = poolSize
	}
	var surplus []idleConn
	if len(p.idle) > p.wanted {
		surplus = p.idle[p.wanted:]
		p.idle = append([]idleConn(nil), p.idle[:p.wanted]...)
	}
	p.mu.Unlock()
	for _, conn := range surplus {
		_ = conn.Close()
	}
	p.poke()
}

func (p *Pool) poke() {
	select {
	case p.missing <- struct{}{}:
	default:
	}
}

// Run keeps the pool full until the context ends.
func (p *Pool) Run(ctx context.Context) {
	defer p.Set(false, false)
	renew := time.NewTicker(maxIdle / 6)
	defer renew.Stop()
	for {
		if err := p.fill(ctx); err != nil {
			p.log.Debug("no flow connection", "error", err)
			select {
			case <-time.After(poolPause):
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-p.missing:
		case <-renew.C:
			p.dropOld(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// fill dials until the pool is full.
func (p *Pool) fill(ctx context.Context) error {
	for p.lacks() {
		conn, err := p.dial(ctx)
		if err != nil {
			return err
		}
		p.put(conn)
	}
	return nil
}

func (p *Pool) lacks() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle) < p.wanted
}

func (p *Pool) put(conn Conn) {
	p.mu.Lock()
	full := len(p.idle) >= p.wanted
	if !full {
		p.idle = append(p.idle, idleConn{conn, time.Now()})
	}
	p.mu.Unlock()
	if full {
		_ = conn.Close()
	}
}

func (p *Pool) dropOld(now time.Time) {
	p.mu.Lock()
	var old []idleConn
	for len(p.idle) > 0 && now.Sub(p.idle[0].since) > maxIdle {
		old = append(old, p.idle[0])
		p.idle = p.idle[1:]
	}
	p.mu.Unlock()
	for _, conn := range old {
		_ = conn.Close()
	}
}

// take returns a waiting connection, the newest first, or nil; and if the gateway is there at all.
func (p *Pool) take() (Conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil, p.up
	}
	conn := p.idle[last].Conn
	p.idle = p.idle[:last]
	return conn, p.up
}

// Open asks for a flow. With an accepting answer the connection is the flow; with any other it is nil. It takes no longer
// than wire.OpenTimeout; an error means that no answer came.
func (p *Pool) Open(ctx context.Context, open wire.Open) (Conn, wire.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wire.OpenTimeout)
	defer cancel()
	for {
		conn, up := p.take()
		if !up {
			if conn != nil {
				_ = conn.Close()
			}
			return nil, wire.Answer{}, errAway
		}
		pooled := conn != nil
		p.poke()
		if !pooled {
			var err error
			if conn, err = p.dial(ctx); err != nil {
				return nil, wire.Answer{}, err
			}
		}
		answer, err := ask(ctx, conn, open)
		if err == nil && answer.Result == wire.Accepted {
			return conn, answer, nil
		}
		_ = conn.Close()
		if err == nil {
			return nil, answer, nil
		}
		// A connection that waited may have died meanwhile; the next one is tried.
		if !pooled || ctx.Err() != nil {
			return nil, wire.Answer{}, fmt.Errorf("open a flow: %w", err)
		}
	}
}

// ask sends the Open and waits for the Answer.
func ask(ctx context.Context, conn Conn, open wire.Open) (wire.Answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var answer wire.Answer
	err := wire.WriteMessage(conn, open, wire.MaxOpen)
	if err == nil {
		err = wire.ReadMessage(conn, &answer, wire.MaxOpen)
	}
	if !stop() {
		return wire.Answer{}, context.Cause(ctx)
	}
	if err != nil {
		return wire.Answer{}, err
	}
	if err := answer.Validate(); err != nil {
		return wire.Answer{}, fmt.Errorf("the answer is wrong: %w", err)
	}
	return answer, nil
}
