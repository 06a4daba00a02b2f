// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// patience bounds what takes no time when all is well.
const patience = 10 * time.Second

// machine is a fake of all that Duty works with. It keeps what happened, in order.
type machine struct {
	mu      sync.Mutex
	events  []string
	open    map[uint16]redirect.Families // what the app has open
	refuses error                        // to redirect
	wrong   error                        // what the proxy says of rules
	sweeps  chan int                     // how many connections bypass, at each sweep
	served  chan uint16
	ports   []wire.PortOrder
	busy    int
	answers chan wire.Answer
	sets    []string
}

func newMachine() *machine {
	return &machine{
		open:   map[uint16]redirect.Families{8080: {IPv4: true}},
		sweeps: make(chan int, 10), served: make(chan uint16, 10), answers: make(chan wire.Answer, 10),
	}
}

func (m *machine) duty() *Duty {
	d := NewDuty(Kernel{
		Redirect: func() (Redirect, error) {
			m.note("open redirect")
			if m.refuses != nil {
				return nil, m.refuses
			}
			return fakeRedirect{m}, nil
		},
		Listening: func() (redirect.Table, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			table := redirect.Table{}
			for port, families := range m.open {
				table.Set(redirect.TCP, port, families)
				table.Set(redirect.UDP, port, families)
			}
			return table, nil
		},
		Takeover: func(port uint16, mode redirect.Mode, _ []netip.Addr) Sweeper {
			m.note(fmt.Sprintf("take over %d %s", port, mode))
			return fakeSweeper{m}
		},
	}, fakeOpener{m}, slog.New(slog.DiscardHandler))
	d.SetProxy(fakeProxy{m})
	return d
}

func (m *machine) note(event string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, event)
}

// happened returns the events since the call before.
func (m *machine) happened() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := strings.Join(m.events, "; ")
	m.events = nil
	return events
}

type fakeRedirect struct{ *machine }

func (r fakeRedirect) Listeners() []net.Listener { return nil }
func (r fakeRedirect) Datagrams(port uint16) (Datagrams, error) {
	r.note(fmt.Sprintf("datagrams %d", port))
	return newFakeDatagrams(func() { r.note(fmt.Sprintf("close datagrams %d", port)) }), nil
}
func (r fakeRedirect) Close() error { r.note("close redirect"); return nil }

func (r fakeRedirect) Set(ports []redirect.Port) error {
	var names []string
	for _, p := range ports {
		name := fmt.Sprintf("%d%v", p.Number, p.Families)
		if p.Protocol != redirect.TCP {
			name += string(p.Protocol)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, r.sets) {
		r.machine.sets = names
		r.note("redirect " + strings.Join(names, " "))
	}
	return nil
}

type fakeProxy struct{ *machine }

func (p fakeProxy) SetPorts(ports []wire.PortOrder, _, _ []netip.Addr) error {
	text := "rules"
	for _, o := range ports {
		text += fmt.Sprintf(" %d", o.Port)
		for _, r := range o.Rules {
			if r.Suspended {
				text += "-suspended"
			}
		}
	}
	p.note(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.ports = ports
	return p.wrong
}

func (p fakeProxy) Serve(port uint16, conn net.Conn) { p.served <- port; _ = conn.Close() }
func (p fakeProxy) PodEnds()                         { p.note("pod ends") }
func (p fakeProxy) AppGone(takeover string)          { p.note("app gone " + takeover) }
func (p fakeProxy) Drain(takeover string)            { p.note("drain " + takeover) }

func (p fakeProxy) Reports() ([]wire.InterceptReport, []wire.Request, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return nil, nil, p.busy
}

type fakeSweeper struct{ *machine }

func (s fakeSweeper) Sweep(time.Time) (int, time.Duration, error) {
	bypassing := <-s.sweeps
	if bypassing == 0 {
		return 0, 0, nil
	}
	return bypassing, time.Millisecond, redirect.ErrCannotDestroy
}

type fakeOpener struct{ *machine }

func (o fakeOpener) Open(ctx context.Context, open wire.Open) (Conn, wire.Answer, error) {
	o.note("open " + string(open.Kind) + " " + open.Intercept)
	select {
	case answer := <-o.answers:
		return nil, answer, nil
	case <-ctx.Done():
		return nil, wire.Answer{}, ctx.Err()
	}
}

func orderFor(port uint16, change ...func(*wire.PortOrder)) wire.Order {
	p := wire.PortOrder{Port: port, Protocol: "TCP", Takeover: "Gentle", Rules: []wire.Rule{{Intercept: "one"}}}
	for _, c := range change {
		c(&p)
	}
	return wire.Order{Revision: 7, Ports: []wire.PortOrder{p}}
}

func expect(t *testing.T, m *machine, what, want string) {
	t.Helper()
	if got := m.happened(); got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestOrdersAreCarriedOutInOrder(t *testing.T) {
	m := newMachine()
	d := m.duty()
	d.Apply(orderFor(8080))
	expect(t, m, "order", "open redirect; rules 8080; redirect 8080{true false}; take over 8080 Gentle")
	d.Look()
	expect(t, m, "nothing new", "")
	d.Apply(orderFor(8080, func(p *wire.PortOrder) { p.Rules[0].Suspended = true }))
	expect(t, m, "suspended", "redirect ; rules 8080-suspended")
	d.Apply(orderFor(8080))
	expect(t, m, "back", "rules 8080; redirect 8080{true false}; take over 8080 Gentle")
	d.Hear(false)
	expect(t, m, "the gateway is silent", "redirect ; rules 8080-suspended")
	d.Hear(true)
	expect(t, m, "the gateway is heard", "rules 8080; redirect 8080{true false}; take over 8080 Gentle")
	d.Apply(wire.Order{Revision: 8})
	expect(t, m, "nothing to do", "redirect ; rules")
	if report := d.Report(); report.Revision != 8 || len(report.Ports) != 0 {
		t.Errorf("%+v", report)
	}
	d.End()
	expect(t, m, "end", "rules; drain Gentle")
	d.Close()
	expect(t, m, "close", "close redirect")
}

func TestEndPutsRedirectsAwayFirst(t *testing.T) {
	m := newMachine()
	d := m.duty()
	d.Apply(orderFor(8080, func(p *wire.PortOrder) { p.Takeover = "Force" }))
	m.happened()
	d.End()
	expect(t, m, "end", "redirect ; rules 8080-suspended; drain Force")
	d.Apply(orderFor(8080))
	expect(t, m, "an order that comes too late", "rules 8080-suspended")
}

func TestNothingIsRedirectedThatTheAppHasNotOpen(t *testing.T) {
	m := newMachine()
	delete(m.open, 8080)
	d := m.duty()
	d.Apply(orderFor(8080))
	expect(t, m, "order", "rules 8080")
	report := d.Report().Ports[0]
	if report.Redirected || report.AppListens || report.Problem != "the app does not listen on port 8080" {
		t.Errorf("%+v", report)
	}
	m.mu.Lock()
	m.open[8080] = redirect.Families{IPv4: true, IPv6: true}
	m.mu.Unlock()
	d.Look()
	expect(t, m, "the app listens", "open redirect; redirect 8080{true true}; take over 8080 Gentle")
	if report := d.Report().Ports[0]; !report.Redirected || !report.AppListens || report.Problem != "" {
		t.Errorf("%+v", report)
	}
	m.mu.Lock()
	delete(m.open, 8080)
	m.mu.Unlock()
	d.Look()
	expect(t, m, "the app is gone", "redirect ")
}

func TestWhatCannotBeRedirectedSaysWhy(t *testing.T) {
	m := newMachine()
	m.refuses = errors.New("the sidecar lacks CAP_BPF")
	d := m.duty()
	d.Apply(orderFor(8080))
	d.Look()
	expect(t, m, "order", "open redirect; rules 8080") // not tried again and again
	if report := d.Report().Ports[0]; report.Redirected || report.Problem != "the sidecar lacks CAP_BPF" {
		t.Errorf("%+v", report)
	}
	d.Apply(orderFor(8080))
	expect(t, m, "a new order", "open redirect; rules 8080")
}

func TestWrongRulesAreReported(t *testing.T) {
	m := newMachine()
	m.wrong = errors.New("a pattern is wrong")
	d := m.duty()
	d.Apply(orderFor(8080))
	if report := d.Report().Ports[0]; !report.Redirected || report.Problem != "a pattern is wrong" {
		t.Errorf("%+v", report)
	}
}

func TestBypassingConnectionsAreReported(t *testing.T) {
	m := newMachine()
	d := m.duty()
	d.Apply(orderFor(8080))
	m.sweeps <- 3
	until(t, d, func(r wire.Report) bool {
		return r.Ports[0].Bypassing == 3 && strings.Contains(r.Ports[0].Problem, "CONFIG_INET_DIAG_DESTROY")
	})
	m.sweeps <- 0
	until(t, d, func(r wire.Report) bool { return r.Ports[0].Bypassing == 0 && r.Ports[0].Problem == "" })
}

// until waits for a report.
func until(t *testing.T, d *Duty, enough func(wire.Report) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		if enough(d.Report()) {
			return
		}
		select {
		case <-d.Changed():
		case <-limit:
			t.Fatalf("%+v", d.Report())
		}
	}
}

// TestUnprivilegedWay: the sidecar listens itself, for as long as the port is ordered.
func TestUnprivilegedWay(t *testing.T) {
	m := newMachine()
	d := m.duty()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().(*net.TCPAddr)
	_ = free.Close()
	listen := func(p *wire.PortOrder) { p.Listen = uint16(address.Port) }
	dial := func() error {
		conn, err := net.Dial("tcp", address.String())
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	d.Apply(orderFor(8080, listen))
	expect(t, m, "order", "rules 8080; take over 8080 None")
	if report := d.Report().Ports[0]; !report.Redirected {
		t.Errorf("%+v", report)
	}
	if err := dial(); err != nil {
		t.Fatal(err)
	}
	if port := <-m.served; port != 8080 {
		t.Errorf("served port %d", port)
	}
	d.Hear(false)
	d.End()
	if err := dial(); err != nil {
		t.Errorf("callers that the Service still sends are refused: %v", err)
	}
	<-m.served
	d.Close()
	if err := dial(); err == nil {
		t.Error("the port is still open")
	}
}

func TestProbesFillReports(t *testing.T) {
	m := newMachine()
	d := m.duty()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go d.Probe(ctx)
	d.Apply(orderFor(8080))
	taken := wire.Answer{Result: wire.Accepted, Local: "127.0.0.1:3000"}
	m.answers <- taken
	until(t, d, func(r wire.Report) bool { return r.Rules[0].Probe == taken && !r.Rules[0].ProbedAt.IsZero() })
	d.Apply(orderFor(8080, func(p *wire.PortOrder) { p.Rules = append(p.Rules, wire.Rule{Intercept: "two"}) }))
	m.answers <- taken
	m.answers <- taken
	until(t, d, func(r wire.Report) bool { return len(r.Rules) == 2 && r.Rules[1].Probe == taken })
	if report := d.Report(); report.Rules[1].Intercept != "two" || report.Rules[1].Port != 8080 {
		t.Errorf("%+v", report.Rules)
	}
}

func TestAppAddresses(t *testing.T) {
	addrs := func(list ...string) []netip.Addr {
		var all []netip.Addr
		for _, text := range list {
			all = append(all, netip.MustParseAddr(text))
		}
		return all
	}
	pod := addrs("10.244.0.2", "fd00::2")
	for _, test := range []struct {
		called string
		pod    []netip.Addr
		want   []netip.Addr
	}{
		{"10.244.0.2", pod, addrs("10.244.0.2", "fd00::2", "127.0.0.1", "::1")},
		{"fd00::2", pod, addrs("fd00::2", "10.244.0.2", "::1", "127.0.0.1")},
		{"::ffff:10.244.0.2", pod, addrs("10.244.0.2", "fd00::2", "127.0.0.1", "::1")},
		{"192.0.2.1", pod, addrs("10.244.0.2", "fd00::2", "127.0.0.1", "::1")},
		{"10.244.0.2", nil, addrs("10.244.0.2", "127.0.0.1", "::1")},
	} {
		if got := appAddresses(test.pod, netip.MustParseAddr(test.called)); !slices.Equal(got, test.want) {
			t.Errorf("called at %s: %v, want %v", test.called, got, test.want)
		}
	}
}

// TestThePodEnds: an app that is told to end may take callers for a while longer, and callers may stay when it has gone.
func TestThePodEnds(t *testing.T) {
	m := newMachine()
	duty := m.duty()
	duty.Outlast(t.Context()) // nothing is to be done
	rules := []wire.Rule{{Intercept: "one"}}
	duty.Apply(wire.Order{Ports: []wire.PortOrder{
		{Port: 8080, Protocol: "TCP", Takeover: "Gentle", Rules: rules}, {Port: 8080, Protocol: "UDP", Rules: rules},
	}})
	m.happened()
	ended := make(chan struct{})
	go func() { duty.Outlast(t.Context()); close(ended) }()
	stays := func(why string) {
		select {
		case <-ended:
			t.Errorf("it did not stay: %s", why)
		case <-time.After(5 * lastLookInterval):
		}
	}
	stays("the app is there")
	m.mu.Lock()
	m.open, m.busy = nil, 1
	m.mu.Unlock()
	stays("there is a caller")
	if got := m.happened(); got != "pod ends; redirect ; app gone Gentle" {
		t.Errorf("happened: %s", got)
	}
	m.mu.Lock()
	m.busy = 0
	m.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it stays without app and callers")
	}
	duty.End()
	duty.Close()
	if got := m.happened(); !strings.Contains(got, "close datagrams 8080") {
		t.Errorf("happened: %s", got)
	}
}
