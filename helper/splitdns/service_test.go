// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// fakeSystem is a machine's resolver that asks whom it is told to, as far as it is not told otherwise.
type fakeSystem struct {
	mu       sync.Mutex
	plans    []plan
	reverted int
	applyErr error
	deaf     bool        // it does not ask us
	next     *fakeSystem // what the machine uses by now
	name     string
	found    bool
	servers  []netip.AddrPort

	interrupted chan struct{}
	closed      chan struct{}
}

func newFakeSystem() *fakeSystem {
	return &fakeSystem{name: "fake", interrupted: make(chan struct{}, 1), closed: make(chan struct{})}
}

// detect finds the system that the machine uses.
func (f *fakeSystem) detect(context.Context) (system, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next != nil {
		return f.next, nil
	}
	if f.found {
		return newFakeSystem(), nil // the same again
	}
	f.found = true
	return f, nil
}

func (f *fakeSystem) mode() string { return f.name }

func (f *fakeSystem) anyPort() bool { return true }

func (f *fakeSystem) apply(_ context.Context, p plan) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.applyErr != nil {
		return "", f.applyErr
	}
	f.plans = append(f.plans, p)
	return "a note", nil
}

func (f *fakeSystem) revert(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reverted++
	return nil
}

func (f *fakeSystem) upstreams() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.servers
}

func (f *fakeSystem) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	f.mu.Lock()
	deaf, p := f.deaf, f.plans[len(f.plans)-1]
	f.mu.Unlock()
	if deaf {
		return nil, errors.New("no such name")
	}
	return lookup(ctx, name, []netip.AddrPort{netip.AddrPortFrom(p.servers[0], p.port)})
}

func (f *fakeSystem) disturbed() <-chan struct{} { return f.interrupted }

func (f *fakeSystem) close() error {
	close(f.closed)
	return nil
}

func (f *fakeSystem) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func loopbackConfig() Config {
	c := testConfig()
	c.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	return c
}

func startFake(t *testing.T, f *fakeSystem) *Service {
	t.Helper()
	s, err := start(t.Context(), loopbackConfig(), f.detect, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		<-f.closed
		if f.reverted == 0 {
			t.Error("the resolver was not put back")
		}
	})
	return s
}

// until waits for a status.
func until(t *testing.T, s *Service, what string, is func(api.DNSStatus) bool) {
	t.Helper()
	for !is(s.Status()) {
		select {
		case <-s.Changed():
		case <-t.Context().Done():
			t.Fatalf("never: %s; status %+v", what, s.Status())
		}
	}
}

func TestStatusTellsWhetherTheResolverAsksUs(t *testing.T) {
	f := newFakeSystem()
	f.deaf = true
	s := startFake(t, f)
	until(t, s, "trouble is told", func(d api.DNSStatus) bool { return !d.Healthy && strings.Contains(d.Detail, "does not ask Fairlead") })
	f.set(func() { f.deaf = false })
	f.interrupted <- struct{}{}
	until(t, s, "it is healthy", func(d api.DNSStatus) bool { return d.Healthy && d.Mode == "fake" && d.Detail == "a note" })
	f.set(func() {
		if len(f.plans) != 2 {
			t.Errorf("told %d times; once at the start, and once when it was disturbed, is right", len(f.plans))
		}
	})
}

func TestAnotherResolverTakesOver(t *testing.T) {
	f := newFakeSystem()
	s, err := start(t.Context(), loopbackConfig(), f.detect, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	until(t, s, "it is healthy", func(d api.DNSStatus) bool { return d.Healthy })
	vpn := newFakeSystem()
	vpn.name = "of the VPN"
	f.set(func() { f.deaf, f.next = true, vpn })
	f.interrupted <- struct{}{} // makes it look sooner
	until(t, s, "the other is used", func(d api.DNSStatus) bool { return d.Healthy && d.Mode == "of the VPN" })
	<-f.closed
	if f.reverted != 1 {
		t.Errorf("the first was put back %d times", f.reverted)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-vpn.closed
	if vpn.reverted != 1 {
		t.Errorf("the other was put back %d times", vpn.reverted)
	}
}

func TestUpdateReplacesOrKeeps(t *testing.T) {
	f := newFakeSystem()
	s := startFake(t, f)
	until(t, s, "it is healthy", func(d api.DNSStatus) bool { return d.Healthy })

	same := loopbackConfig()
	other := loopbackConfig()
	other.Namespace, other.Namespaces = "dev", []string{"dev", "shop-a", "new-one"}
	if err := errors.Join(s.Update(t.Context(), same), s.Update(t.Context(), other)); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		if len(f.plans) != 2 || f.plans[1].search != "dev.svc.cluster.local" {
			t.Errorf("plans %v", f.plans)
		}
		f.applyErr = errors.New("refused")
	})
	if got := s.resolver.rules.Load().zones.classify("x.new-one"); got != toGateway {
		t.Errorf("the new namespace goes to %d", got)
	}
	if err := s.Update(t.Context(), same); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	if got := s.resolver.rules.Load().zones.classify("x.new-one"); got != toGateway {
		t.Error("a failed update left its rules behind")
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	f := newFakeSystem()
	f.applyErr = errors.New("refused")
	if _, err := start(t.Context(), loopbackConfig(), f.detect, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("it started")
	}
	<-f.closed
	if f.reverted != 1 {
		t.Errorf("put back %d times", f.reverted)
	}
}

// TestLoops has a machine whose name server takes its own servers from the machine's settings: it asks us.
func TestLoops(t *testing.T) {
	f := newFakeSystem()
	forwarder := serveNames(t, func(q dns.Question, _ bool) *dns.Msg {
		f.mu.Lock()
		p := f.plans[len(f.plans)-1]
		f.mu.Unlock()
		answer, _, err := new(dns.Client).Exchange(question(q.Name, q.Qtype), netip.AddrPortFrom(p.servers[0], p.port).String())
		if err != nil {
			return nil
		}
		return answer
	})
	good := serveNames(t, func(q dns.Question, _ bool) *dns.Msg { return withAddress(q.Name, "203.0.113.80") })

	t.Run("one of two", func(t *testing.T) {
		f.servers = []netip.AddrPort{forwarder.address, good.address}
		f.closed, f.reverted, f.found = make(chan struct{}), 0, false
		s := startFake(t, f)
		for len(s.upstreams()) != 1 { // it takes a moment; nothing announces it
			if t.Context().Err() != nil {
				t.Fatal("the loop is not found")
			}
		}
		if got := outcome(s.resolver.answer(t.Context(), question("www.example.com", dns.TypeA))); got != "NOERROR 203.0.113.80" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("the only one", func(t *testing.T) {
		f.servers = []netip.AddrPort{forwarder.address}
		f.closed, f.reverted, f.found = make(chan struct{}), 0, false
		s := startFake(t, f)
		until(t, s, "it gives up", func(d api.DNSStatus) bool { return !d.Healthy && strings.Contains(d.Detail, "only name server") })
		f.set(func() {
			if f.reverted == 0 {
				t.Error("the machine is left without names")
			}
		})
	})
}
