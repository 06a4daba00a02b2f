// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
	"github.com/fairlead-dev/fairlead/helper/splitdns"
)

// fakeMachine stands for the operating system: it writes down what is done to it, in order.
type fakeMachine struct {
	mu     sync.Mutex
	events []string
	keys   int

	upErr    error         // Up fails with it
	upWait   chan struct{} // Up waits for it, or for the end of its context
	updErr   error         // Update fails with it
	dnsErr   error         // names fail with it
	closeErr error
	reached  chan string // every event goes here too
}

func newFakeMachine() *fakeMachine { return &fakeMachine{reached: make(chan string, 1000)} }

func (m *fakeMachine) note(format string, args ...any) {
	event := fmt.Sprintf(format, args...)
	m.mu.Lock()
	m.events = append(m.events, event)
	m.mu.Unlock()
	m.reached <- event
}

func (m *fakeMachine) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// until waits for an event.
func (m *fakeMachine) until(event string) {
	for got := range m.reached {
		if got == event {
			return
		}
	}
}

func (m *fakeMachine) LocalRoutes(context.Context) ([]api.LocalRoute, error) { return nil, nil }

func (m *fakeMachine) Prepare(context.Context) (Prepared, error) {
	m.mu.Lock()
	m.keys++
	key := m.keys
	m.mu.Unlock()
	return &fakePrepared{m, key}, nil
}

type fakePrepared struct {
	*fakeMachine
	key int
}

func (p *fakePrepared) PublicKey() string { return fmt.Sprintf("key %d", p.key) }

func (p *fakePrepared) Close() { p.note("key %d forgotten", p.key) }

func (p *fakePrepared) Up(ctx context.Context, _ api.Tunnel, _ *restore.Journal) (Tunnel, error) {
	p.note("up %d begins", p.key)
	if p.upWait != nil {
		select {
		case <-p.upWait:
		case <-ctx.Done():
			p.note("up %d rolled back", p.key)
			return nil, ctx.Err()
		}
	}
	if p.upErr != nil {
		return nil, p.upErr
	}
	p.note("tunnel %d up", p.key)
	return &fakeTunnel{p, make(chan struct{}, 1)}, nil
}

type fakeTunnel struct {
	*fakePrepared
	changed chan struct{}
}

func (t *fakeTunnel) Device() string { return "fake0" }

func (t *fakeTunnel) Status() api.Status { return api.Status{Device: "fake0", MTU: 1280} }

func (t *fakeTunnel) Changed() <-chan struct{} { return t.changed }

func (t *fakeTunnel) Update(_ context.Context, change api.UpdateRequest) error {
	if t.updErr != nil {
		return t.updErr
	}
	if change.Routes != nil {
		t.note("routes %v", *change.Routes)
	}
	return nil
}

// ServeRelay answers every byte with the same byte.
func (t *fakeTunnel) ServeRelay(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, err := io.Copy(conn, conn)
	return errors.Join(err, conn.Close())
}

func (t *fakeTunnel) Close(context.Context) error {
	t.note("tunnel %d down", t.key)
	return t.closeErr
}

// fakeNames stands for name resolution on the same machine.
type fakeNames struct{ *fakeMachine }

func (n fakeNames) Start(_ context.Context, c splitdns.Config) (Resolver, error) {
	if n.dnsErr != nil {
		return nil, n.dnsErr
	}
	n.note("names of %s on %s", c.ClusterDomain, c.Device)
	return &fakeResolver{n.fakeMachine, make(chan struct{}, 1)}, nil
}

type fakeResolver struct {
	*fakeMachine
	changed chan struct{}
}

func (r *fakeResolver) Status() api.DNSStatus { return api.DNSStatus{Mode: "fake", Healthy: true} }

func (r *fakeResolver) Changed() <-chan struct{} { return r.changed }

func (r *fakeResolver) Update(_ context.Context, c splitdns.Config) error {
	if r.dnsErr != nil {
		return r.dnsErr
	}
	r.note("names of %s", c.ClusterDomain)
	return nil
}

func (r *fakeResolver) Close(context.Context) error {
	r.note("names back")
	return nil
}
