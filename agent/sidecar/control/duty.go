// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// Proxy has the data path of connections. Its methods are safe for concurrent use.
type Proxy interface {
	// SetPorts replaces the rules; connections of ports that are gone are let go.
	SetPorts(ports []wire.PortOrder, pod, node []netip.Addr) error
	// Serve takes a caller's connection to the port over.
	Serve(port uint16, conn net.Conn)
	// Reports returns counts by rule, the requests since the call before, and how many connections of callers are open.
	Reports() (rules []wire.InterceptReport, requests []wire.Request, open int)
	// PodEnds has callers told to go elsewhere, where laptops answer them.
	PodEnds()
	// AppGone lets go as Drain does, with all rules in force.
	AppGone(takeover string)
	// Drain lets go of everything: idle connections are closed, by Force busy ones, too.
	Drain(takeover string)
}

// Redirect hands new connections and datagrams of ports to the sidecar's sockets.
type Redirect interface {
	Listeners() []net.Listener
	Set([]redirect.Port) error
	Datagrams(port uint16) (Datagrams, error)
	Close() error
}

// Kernel is what Duty needs of the machine.
type Kernel struct {
	// Redirect is opened when the first port is to be redirected.
	Redirect func() (Redirect, error)
	// Listening says which ports are open in the pod.
	Listening func() (redirect.Table, error)
	// Takeover of a port's earlier connections; Sweep is redirect.Takeover's.
	Takeover func(port uint16, mode redirect.Mode, spared []netip.Addr) Sweeper
}

// Sweeper closes earlier connections, see redirect.Takeover.
type Sweeper interface {
	Sweep(now time.Time) (bypassing int, next time.Duration, err error)
}

// LinuxKernel is the real one; proc is the file system at /proc.
func LinuxKernel(proc fs.FS) Kernel {
	return Kernel{
		Redirect: func() (Redirect, error) {
			opened, err := redirect.Open()
			if err != nil {
				return nil, err
			}
			return kernelRedirect{opened}, nil
		},
		Listening: func() (redirect.Table, error) { return redirect.Listening(proc) },
		Takeover: func(port uint16, mode redirect.Mode, spared []netip.Addr) Sweeper {
			return redirect.NewTakeover(port, mode, spared, time.Now())
		},
	}
}

type kernelRedirect struct{ *redirect.Redirect }

func (k kernelRedirect) Datagrams(port uint16) (Datagrams, error) {
	d, err := k.Redirect.Datagrams(port)
	if err != nil {
		return nil, err
	}
	return d, nil
}

const (
	// lookInterval is how often Duty looks if the app has its ports open.
	lookInterval = 250 * time.Millisecond
	// lastLookInterval is the same when the pod ends, and the app closes them at any moment.
	lastLookInterval = 20 * time.Millisecond
)

// Duty is what the sidecar does at the moment: the last order, as far as the gateway is heard and the app listens. It is safe
// for concurrent use. Nothing is redirected before Hear(true).
type Duty struct {
	kernel Kernel
	proxy  Proxy
	pool   opener
	log    *slog.Logger
	// Changed has something when Report would say something new.
	changed chan struct{}

	mu           sync.Mutex
	order        wire.Order
	podAddresses []netip.Addr // of the last order that had some
	lastTakeover string       // of the last port that was let go
	heard        bool
	ended        bool
	podEnds      bool
	redirect     Redirect
	refused      error // why it could not be opened, for this order
	wrong        error // what the proxy says of this order
	ports        map[portName]*port
	leaving      map[uint16]*datagramFlows // of ports of UDP that were let go, by port
	probes       *prober
	reported     []wire.PortReport
	untold       []wire.Request
}

// opener opens flows.
type opener interface {
	Open(ctx context.Context, open wire.Open) (Conn, wire.Answer, error)
}

// NewDuty returns a Duty without orders. The proxy is set by SetProxy before the first order.
func NewDuty(kernel Kernel, pool opener, log *slog.Logger) *Duty {
	return &Duty{
		kernel: kernel, pool: pool, log: log,
		changed: make(chan struct{}, 1), ports: map[portName]*port{}, leaving: map[uint16]*datagramFlows{}, probes: newProber(),
	}
}

// SetProxy says who has the data path.
func (d *Duty) SetProxy(proxy Proxy) { d.proxy = proxy }

// Changed has something when Report would say something new.
func (d *Duty) Changed() <-chan struct{} { return d.changed }

func (d *Duty) poke() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// Apply carries an order out; it is done when it returns, but for ports that the app has not open, and connections that leave
// by and by.
func (d *Duty) Apply(order wire.Order) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order, d.refused, d.heard = order, nil, true
	if len(order.PodAddresses) > 0 {
		d.podAddresses = order.PodAddresses
	}
	d.settle(true)
	d.poke()
}

// Hear says if the gateway is heard. Without it, every rule is as if suspended.
func (d *Duty) Hear(heard bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.heard != heard {
		d.heard = heard
		d.settle(true)
	}
}

// Look looks again if the app has its ports open.
func (d *Duty) Look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended && len(d.ports) > 0 {
		d.settle(false)
	}
}

// Outlast is called when the pod ends. It returns when there is no port left that is intercepted and that the app has open, and
// no caller's connection, or with the context. Until then all rules are in force: who is still connected when the app has gone, and
// asks for what a laptop answers, gets it.
func (d *Duty) Outlast(ctx context.Context) {
	d.mu.Lock()
	d.podEnds = true
	d.mu.Unlock()
	d.proxy.PodEnds()
	if !waitFor(ctx, func() bool { d.Look(); return !d.needed() }) {
		return
	}
	d.mu.Lock()
	takeover := d.takeoverMode()
	d.mu.Unlock()
	d.proxy.AppGone(takeover)
	waitFor(ctx, func() bool { return d.Open() == 0 })
}

// waitFor reports false if the context ended before.
func waitFor(ctx context.Context, reached func() bool) bool {
	ticker := time.NewTicker(lastLookInterval)
	defer ticker.Stop()
	for !reached() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (d *Duty) needed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.active() && p.open.Any() {
			return true
		}
	}
	return false
}

// End puts every redirect away and lets go of connections. Where the sidecar listens for a Service itself, it goes on, and passes
// callers to the app.
func (d *Duty) End() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return
	}
	d.ended = true
	d.settle(true)
	d.proxy.Drain(d.takeoverMode())
}

// takeoverMode is how connections are let go of that belong to no port. d.mu is held.
func (d *Duty) takeoverMode() string {
	for _, o := range d.order.Ports {
		return o.Takeover
	}
	return d.lastTakeover
}

// Close closes all sockets that wait for callers.
func (d *Duty) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, p := range d.ports {
		p.release()
		if p.flows != nil {
			p.flows.close()
		}
		delete(d.ports, name)
	}
	for number, flows := range d.leaving {
		flows.close()
		delete(d.leaving, number)
	}
	d.probes.set(nil)
	if d.redirect != nil {
		if err := d.redirect.Close(); err != nil {
			d.log.Warn("close the redirect", "error", err)
		}
		d.redirect = nil
	}
}
