// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// running is a Client with its Duty, on a fake machine, connected with a test's gateway.
type running struct {
	*machine
	gateway *testGateway
	client  *Client
	pool    *Pool
	ended   chan struct{}
	stop    context.CancelFunc
}

func run(t *testing.T, change ...func(*Client)) *running {
	t.Helper()
	m, g := newMachine(), startGateway(t)
	return runWith(t, m, g, change...)
}

func runWith(t *testing.T, m *machine, g *testGateway, change ...func(*Client)) *running {
	t.Helper()
	at := g.client()
	pool := NewPool(at, quietLog())
	duty := m.duty()
	duty.pool = pool
	ctx, stop := context.WithCancel(t.Context())
	r := &running{m, g, &Client{Gateway: at, Duty: duty, Pool: pool, Log: quietLog()}, pool, make(chan struct{}), stop}
	for _, c := range change {
		c(r.client)
	}
	go func() {
		defer close(r.ended)
		r.client.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
		duty.Close()
	})
	return r
}

func carriedOut(revision uint64) func(wire.Report) bool {
	return func(r wire.Report) bool { return r.Revision == revision }
}

func (r *running) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
}

func TestOrdersAreReported(t *testing.T) {
	r := run(t)
	conn := r.gateway.nextFor(wire.PurposeControl)
	conn.order(t, orderFor(8080))
	report := conn.report(t, carriedOut(7))
	if len(report.Ports) != 1 || !report.Ports[0].Redirected || len(report.Rules) != 1 {
		t.Errorf("%+v", report)
	}
	// The probe comes over one of the flow connections, and is reported.
	answer := wire.Answer{Result: wire.NobodyListens, Local: "127.0.0.1:3000"}
	opens := make(chan wire.Open, 10)
	go func() {
		for flow := range r.gateway.arrived {
			go func() {
				var open wire.Open
				if wire.ReadMessage(flow, &open, wire.MaxOpen) == nil {
					opens <- open
					_ = wire.WriteMessage(flow, answer, wire.MaxOpen)
				}
			}()
		}
	}()
	if open := <-opens; open.Kind != wire.FlowProbe || open.Intercept != "one" || open.Port != 8080 || open.Validate() != nil {
		t.Errorf("%+v", open)
	}
	conn.report(t, func(r wire.Report) bool { return r.Rules[0].Probe == answer })
	if !r.client.Ordered() {
		t.Error("an order was carried out, and it does not know")
	}
}

func TestALostGatewayIsFoundAgain(t *testing.T) {
	r := run(t)
	conn := r.gateway.nextFor(wire.PurposeControl)
	conn.order(t, orderFor(8080))
	conn.report(t, carriedOut(7))
	_ = conn.NetConn().Close()
	conn = r.gateway.nextFor(wire.PurposeControl)
	order := orderFor(8080)
	order.Revision = 9
	conn.order(t, order)
	conn.report(t, carriedOut(9))
	if strings.Contains(r.happened(), "suspended") {
		t.Error("a moment without the gateway put the redirect away")
	}
}

// TestASilentGateway: after wire.SilenceLimit nothing is redirected.
func TestASilentGateway(t *testing.T) {
	r := run(t)
	conn := r.gateway.nextFor(wire.PurposeControl)
	conn.order(t, orderFor(8080))
	conn.report(t, carriedOut(7))
	began := time.Now()
	limit := time.After(patience)
	for !strings.HasSuffix(r.soFar(), "redirect ; rules 8080-suspended") {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			t.Fatalf("it happened: %s", r.soFar())
		}
	}
	if took := time.Since(began); took < wire.SilenceLimit/2 {
		t.Errorf("it gave up after %s", took)
	}
	conn = r.gateway.nextFor(wire.PurposeControl)
	conn.order(t, orderFor(8080))
	conn.report(t, func(report wire.Report) bool { return report.Ports[0].Redirected })
}

func (m *machine) soFar() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.events, "; ")
}

func TestItEndsWithItsWork(t *testing.T) {
	t.Run("told to end", func(t *testing.T) {
		r := run(t)
		conn := r.gateway.nextFor(wire.PurposeControl)
		conn.order(t, orderFor(8080))
		conn.report(t, carriedOut(7))
		conn.order(t, wire.Order{Revision: 8})
		conn.report(t, carriedOut(8)) // it is confirmed before
		r.awaitEnd(t)
		if events := r.happened(); !strings.Contains(events, "redirect ; rules") || !strings.HasSuffix(events, "drain Gentle") {
			t.Error(events)
		}
	})
	t.Run("lingers", func(t *testing.T) {
		r := run(t)
		conn := r.gateway.nextFor(wire.PurposeControl)
		conn.order(t, wire.Order{Revision: 8, Linger: 60})
		conn.report(t, carriedOut(8))
		conn.report(t, carriedOut(8))
		conn.order(t, orderFor(8080))
		conn.report(t, carriedOut(7))
	})
	t.Run("refused for good", func(t *testing.T) {
		g := startGateway(t)
		g.welcome = func(wire.Hello) wire.Welcome { return wire.Welcome{Error: "no such pod", Final: true} }
		runWith(t, newMachine(), g).awaitEnd(t)
	})
	t.Run("refused for now", func(t *testing.T) {
		g := startGateway(t)
		refused := 0
		g.welcome = func(wire.Hello) wire.Welcome {
			if refused++; refused < 3 {
				return wire.Welcome{Error: "not yet"}
			}
			return wire.Welcome{}
		}
		runWith(t, newMachine(), g)
		g.nextFor(wire.PurposeControl)
	})
	t.Run("born with its pod it stays", func(t *testing.T) {
		r := run(t, func(c *Client) { c.Stays = true })
		conn := r.gateway.nextFor(wire.PurposeControl)
		conn.order(t, wire.Order{Revision: 8})
		conn.report(t, carriedOut(8))
		conn.report(t, carriedOut(8))
		conn.order(t, orderFor(8080))
		conn.report(t, carriedOut(7))
		r.stop()
		conn.report(t, func(r wire.Report) bool { return !r.Ports[0].Redirected })
	})
}

func TestFlows(t *testing.T) {
	g := startGateway(t)
	pool := NewPool(g.client(), quietLog())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, _, err := pool.Open(ctx, wire.Open{}); !errors.Is(err, errAway) {
		t.Errorf("before there is a gateway: %v", err)
	}
	go pool.Run(ctx)
	pool.Set(true, true)
	idle := make([]arrival, poolSize)
	for i := range idle {
		idle[i] = g.nextFor(wire.PurposeFlow)
	}
	// All but the first that waited have died meanwhile, and nobody notices.
	for _, conn := range idle[1:] {
		_ = conn.NetConn().Close()
	}
	var result atomic.Value
	result.Store(wire.Accepted)
	serve := func(conn arrival) {
		var open wire.Open
		if wire.ReadMessage(conn, &open, wire.MaxOpen) != nil {
			return
		}
		_ = wire.WriteMessage(conn, wire.Answer{Result: result.Load().(wire.Result)}, wire.MaxOpen)
		_, _ = io.Copy(conn, conn)
		_ = conn.CloseWrite()
	}
	go serve(idle[0])
	go func() {
		for conn := range g.arrived { // the pool fills up again
			go serve(conn)
		}
	}()
	conn, answer, err := pool.Open(ctx, wire.Open{Intercept: "one", Port: 8080, Protocol: "TCP", Kind: wire.FlowRaw})
	if err != nil || answer.Result != wire.Accepted {
		t.Fatalf("%+v, %v", answer, err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	result.Store(wire.NobodyListens)
	refused, answer, err := pool.Open(ctx, wire.Open{Intercept: "one", Port: 8080, Protocol: "TCP", Kind: wire.FlowRaw})
	if refused != nil || answer.Result != wire.NobodyListens || err != nil {
		t.Errorf("%v, %+v, %v", refused, answer, err)
	}
	pool.Set(false, false)
	if _, _, err := pool.Open(ctx, wire.Open{}); !errors.Is(err, errAway) {
		t.Errorf("after the gateway went: %v", err)
	}
}

func TestAnOpenThatNobodyAnswersEnds(t *testing.T) {
	g := startGateway(t)
	pool := newPool(func(ctx context.Context) (Conn, error) { return g.client().dial(ctx, wire.PurposeFlow) }, quietLog())
	pool.Set(true, false)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		var open wire.Open
		_ = wire.ReadMessage(g.next(), &open, wire.MaxOpen)
		cancel()
	}()
	if _, _, err := pool.Open(ctx, wire.Open{Intercept: "one"}); !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
}
