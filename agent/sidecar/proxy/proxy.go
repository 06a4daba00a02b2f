// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// Conn is a connection that can say that it has sent everything while it still receives.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Flows opens flows to laptops. After an answer other than wire.Accepted, or an error, there is no connection.
type Flows interface {
	Open(ctx context.Context, open wire.Open) (Conn, wire.Answer, error)
}

// Options are what a Proxy needs from outside.
type Options struct {
	Flows Flows
	// DialApp connects to the app's port. Family is the address that the caller dialed, so that the app is called at the one
	// of the same family.
	DialApp func(ctx context.Context, port uint16, family netip.Addr) (net.Conn, error)
	Log     *slog.Logger
}

// Proxy serves the connections of callers. It is safe for concurrent use.
type Proxy struct {
	options Options
	logger  *slog.Logger
	log     requestLog
	// settleAfter is how many ordinary requests make a connection steady.
	settleAfter int
	podEnds     atomic.Bool // see PodEnds
	appGone     atomic.Bool // see AppGone

	mu       sync.Mutex
	ports    map[uint16]*port // never shrinks: connections outlive the orders for their port
	counts   map[ruleKey]*counts
	ordered  []ruleKey // of the present orders, for Reports
	callers  map[*caller]struct{}
	sweeping bool
}

// New returns a Proxy without ports: connections that it is given go to the app.
func New(o Options) *Proxy {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Proxy{options: o, logger: o.Log, ports: map[uint16]*port{}, counts: map[ruleKey]*counts{}, callers: map[*caller]struct{}{}, settleAfter: settleAfter}
}

// SetPorts replaces the rules; those for UDP are none of its business. Open connections follow at their next request. The
// connections of ports that are gone are let go of, in the way that their Takeover says. The error names rules that can't be
// understood and so take nothing; everything else is in force all the same.
func (p *Proxy) SetPorts(ports []wire.PortOrder, pod, node []netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ordered = p.ordered[:0]
	var errs []error
	seen := map[uint16]bool{}
	for _, order := range ports {
		if !strings.EqualFold(order.Protocol, "TCP") {
			continue
		}
		seen[order.Port] = true
		compiled, err := compilePort(order, unmap(node), func(k ruleKey) *counts {
			p.ordered = append(p.ordered, k)
			c := p.counts[k]
			if c == nil {
				c = new(counts)
				p.counts[k] = c
			}
			return c
		})
		errs = append(errs, err)
		p.replace(p.port(order.Port), compiled)
	}
	for number, at := range p.ports {
		if old := at.rules.Load(); !seen[number] && !old.released {
			p.replace(at, &rules{released: true, takeover: old.takeover})
			p.release(at, old.takeover)
		}
	}
	for k := range p.counts {
		if !slices.Contains(p.ordered, k) {
			delete(p.counts, k)
		}
	}
	return errors.Join(errs...)
}

// replace puts new rules in force and lets go of what only the old ones had asked for. p.mu is held.
func (p *Proxy) replace(at *port, compiled *rules) {
	old := at.rules.Swap(compiled)
	for _, now := range compiled.list {
		now.counts.active.Store(true)
	}
	for _, was := range old.list {
		if !slices.ContainsFunc(compiled.list, func(now *rule) bool { return now.counts == was.counts }) {
			was.counts.active.Store(false)
		}
	}
	for c := range p.callers {
		if c.port == at {
			c.rulesChanged()
		}
	}
	p.sweepSoon()
}

// port returns the port with this number. p.mu is held.
func (p *Proxy) port(number uint16) *port {
	at := p.ports[number]
	if at == nil {
		at = &port{number: number}
		at.rules.Store(&rules{released: true})
		p.ports[number] = at
	}
	return at
}

// Serve takes over a connection that a caller opened to the port. It returns at once.
func (p *Proxy) Serve(number uint16, conn net.Conn) {
	c := &caller{proxy: p, conn: conn, wake: make(chan struct{}, 1), decided: make(chan struct{})}
	c.tcp, _ = conn.(*net.TCPConn)
	c.client, c.target = addrOf(conn.RemoteAddr()), addrOf(conn.LocalAddr())
	p.mu.Lock()
	c.port = p.port(number)
	p.callers[c] = struct{}{}
	p.mu.Unlock()
	go func() {
		c.serve()
		p.mu.Lock()
		delete(p.callers, c)
		p.mu.Unlock()
	}()
}

// Reports says how the rules of the present orders do, which requests they took or lost since the last call, and how many
// connections of callers are open. The caller fills in the probes.
func (p *Proxy) Reports() (list []wire.InterceptReport, requests []wire.Request, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.ordered {
		c := p.counts[k]
		list = append(list, wire.InterceptReport{Intercept: k.intercept, Port: k.port, Protocol: "TCP",
			Matched: c.matched.Load(), Passed: c.passed.Load(), FallenBack: c.fallenBack.Load(), Unreadable: c.unreadable.Load()})
	}
	return list, p.log.take(), len(p.callers)
}

// PodEnds is called when the pod has begun to end. From then on the answers of laptops say that they are the last ones of their
// connection, so that callers go elsewhere before this pod is gone. Those of the app say what the app says.
func (p *Proxy) PodEnds() { p.podEnds.Store(true) }

// AppGone is called when an app that ends takes no more callers. All connections are let go of as by Drain, but the rules remain
// in force: what still comes for a laptop gets there.
func (p *Proxy) AppGone(takeover string) {
	p.appGone.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.ports {
		p.release(at, takeover)
	}
	p.sweepSoon()
}

// Drain is called when nothing is redirected any more. All rules are void; Gentle closes connections once they are idle and
// leaves the busy ones until they end, Force closes all of them at once, None leaves all.
func (p *Proxy) Drain(takeover string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ordered = p.ordered[:0]
	for _, at := range p.ports {
		p.replace(at, &rules{released: true, takeover: takeover})
		p.release(at, takeover)
	}
}

// release lets go of the connections of a port that has no rules any more. p.mu is held.
func (p *Proxy) release(at *port, takeover string) {
	force := strings.EqualFold(takeover, "Force")
	none := strings.EqualFold(takeover, "None")
	for c := range p.callers {
		switch {
		case c.port != at || none:
		case force:
			c.abort()
		default:
			c.letGo()
		}
	}
}

const (
	sweepInterval = 250 * time.Millisecond
	// idleBeforeClose is for how long nothing must have passed before a connection is closed under its caller. A caller
	// that sends just then loses the request, so it is longer than what lies between the requests of a busy pool.
	idleBeforeClose = time.Second
)

// sweepSoon starts closing idle connections that are to be let go of, as long as there are any. p.mu is held.
func (p *Proxy) sweepSoon() {
	if p.sweeping {
		return
	}
	p.sweeping = true
	time.AfterFunc(sweepInterval, p.sweep)
}

func (p *Proxy) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeping = false
	left := false
	for c := range p.callers {
		if c.toLetGo() && !c.closeIdle() {
			left = true
		}
	}
	if left {
		p.sweepSoon()
	}
}

func unmap(list []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, a := range list {
		out[i] = a.Unmap().WithZone("")
	}
	return out
}

func addrOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}
