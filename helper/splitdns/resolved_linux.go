// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/godbus/dbus/v5"
)

// maxResolvedDomains is how many domains systemd-resolved takes for a link (LINK_SEARCH_DOMAINS_MAX, 1024 of late and
// 256 before), less the search domain.
var maxResolvedDomains = []int{1000, 250}

// resolvedCall is one call of systemd-resolved's manager, as data.
type resolvedCall struct {
	method   string
	args     []any
	optional bool // older versions don't have it, and do without
}

type resolvedServer struct {
	Family  int32
	Address []byte
}

type resolvedServerEx struct {
	Family  int32
	Address []byte
	Port    uint16
	Name    string
}

type resolvedDomain struct {
	Domain    string
	RouteOnly bool
}

// planResolved is what systemd-resolved is told for the link with this index. The order keeps the link from ever
// being a default route for names: servers come last.
func planResolved(index int, p plan, domains []string) []resolvedCall {
	i := int32(index)
	list := []resolvedDomain{{p.search, false}}
	for _, domain := range domains {
		list = append(list, resolvedDomain{domain, true})
	}
	return []resolvedCall{
		{method: "SetLinkDefaultRoute", args: []any{i, false}, optional: true},
		{method: "SetLinkLLMNR", args: []any{i, "no"}, optional: true},
		{method: "SetLinkMulticastDNS", args: []any{i, "no"}, optional: true},
		{method: "SetLinkDNSOverTLS", args: []any{i, "no"}, optional: true},
		{method: "SetLinkDNSSEC", args: []any{i, "no"}, optional: true},
		{method: "SetLinkDomains", args: []any{i, list}},
		planResolvedServers(i, p),
		{method: "FlushCaches", optional: true},
	}
}

func planResolvedServers(index int32, p plan) resolvedCall {
	family := func(a netip.Addr) int32 {
		if a.Is4() {
			return syscall.AF_INET
		}
		return syscall.AF_INET6
	}
	if p.port == dnsPort {
		var servers []resolvedServer
		for _, a := range p.servers {
			servers = append(servers, resolvedServer{family(a), a.AsSlice()})
		}
		return resolvedCall{method: "SetLinkDNS", args: []any{index, servers}}
	}
	var servers []resolvedServerEx
	for _, a := range p.servers {
		servers = append(servers, resolvedServerEx{family(a), a.AsSlice(), p.port, ""})
	}
	return resolvedCall{method: "SetLinkDNSEx", args: []any{index, servers}} // since version 246
}

// resolved tells systemd-resolved over D-Bus. Its settings are of the link and end with it, so the journal has nothing
// to say.
type resolved struct {
	interrupted chan struct{}

	mu    sync.Mutex
	bus   *dbus.Conn
	index int // of the link; 0 before apply
	ours  []netip.Addr
}

func newResolved(bus *dbus.Conn) (*resolved, error) {
	r := &resolved{bus: bus, interrupted: make(chan struct{}, 1)}
	if err := r.follow(bus); err != nil {
		return nil, errors.Join(err, bus.Close())
	}
	return r, nil
}

func (r *resolved) mode() string { return modeResolved }

func (r *resolved) anyPort() bool { return true }

func (r *resolved) disturbed() <-chan struct{} { return r.interrupted }

// follow notices that systemd-resolved restarted, which makes it forget, and that the bus did.
func (r *resolved) follow(bus *dbus.Conn) error {
	err := bus.AddMatchSignal(dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, resolvedBusName))
	if err != nil {
		return fmt.Errorf("follow systemd-resolved: %w", err)
	}
	signals := make(chan *dbus.Signal, 16)
	bus.Signal(signals)
	go func() {
		for signal := range signals { // closed with the connection
			if signal.Name != "org.freedesktop.DBus.NameOwnerChanged" || len(signal.Body) != 3 || signal.Body[0] != resolvedBusName {
				continue
			}
			if owner, _ := signal.Body[2].(string); owner != "" {
				r.interrupt()
			}
		}
		r.interrupt()
	}()
	return nil
}

func (r *resolved) interrupt() {
	select {
	case r.interrupted <- struct{}{}:
	default:
	}
}

// connection returns the bus, connected again if it was lost. The caller holds mu.
func (r *resolved) connection() (*dbus.Conn, error) {
	if r.bus.Connected() {
		return r.bus, nil
	}
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	if err := r.follow(bus); err != nil {
		return nil, errors.Join(err, bus.Close())
	}
	r.bus = bus
	return bus, nil
}

func (r *resolved) apply(ctx context.Context, p plan) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bus, err := r.connection()
	if err != nil {
		return "", err
	}
	link, err := net.InterfaceByName(p.device)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", p.device, err)
	}
	r.index, r.ours = link.Index, p.servers
	for i, most := range maxResolvedDomains {
		domains, note := p.first(most)
		err = send(ctx, bus, planResolved(link.Index, p, domains))
		if err == nil || i == len(maxResolvedDomains)-1 || !strings.Contains(strings.ToLower(err.Error()), syscall.E2BIG.Error()) {
			return note, err
		}
	}
	return "", err
}

// send makes the calls at once and then collects the answers: resolved works them off in order.
func send(ctx context.Context, bus *dbus.Conn, calls []resolvedCall) error {
	object := bus.Object(resolvedBusName, "/org/freedesktop/resolve1")
	pending := make([]*dbus.Call, len(calls))
	for i, call := range calls {
		pending[i] = object.GoWithContext(ctx, resolvedBusName+".Manager."+call.method, 0, make(chan *dbus.Call, 1), call.args...)
	}
	var errs []error
	for i, call := range pending {
		<-call.Done
		if call.Err != nil && !(calls[i].optional && isUnknownMethod(call.Err)) {
			errs = append(errs, fmt.Errorf("%s: %w", calls[i].method, call.Err))
		}
	}
	return errors.Join(errs...)
}

func isUnknownMethod(err error) bool {
	known, ok := errors.AsType[dbus.Error](err)
	return ok && known.Name == "org.freedesktop.DBus.Error.UnknownMethod"
}

func (r *resolved) revert(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.index == 0 {
		return nil
	}
	bus, err := r.connection()
	if err != nil {
		return nil // without the bus resolved forgets the link with the device
	}
	err = send(ctx, bus, []resolvedCall{{method: "RevertLink", args: []any{int32(r.index)}}, {method: "FlushCaches", optional: true}})
	if err != nil && isGone(err) {
		err = nil
	}
	r.index = 0
	return err
}

// isGone reports whether the link, or resolved with all it knew, is gone already.
func isGone(err error) bool {
	known, ok := errors.AsType[dbus.Error](err)
	return ok && (known.Name == "org.freedesktop.resolve1.NoSuchLink" || known.Name == "org.freedesktop.DBus.Error.ServiceUnknown" ||
		known.Name == "org.freedesktop.DBus.Error.NameHasNoOwner")
}

// upstreams are what resolved itself would ask, by the list that it keeps for such as we. Its own notion of which
// link knows which domain is lost here, which matters only for names that a namespace shares with the internet.
func (r *resolved) upstreams() []netip.AddrPort {
	content, err := os.ReadFile(resolvedUplink)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return without(parseResolvConf(content).servers, r.ours)
}

// ask goes by /etc/resolv.conf where that is resolved's stub, and asks resolved itself where it is not.
func (r *resolved) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	content, err := os.ReadFile(resolvConfPath)
	if err != nil {
		return nil, err
	}
	servers := parseResolvConf(content).servers
	if len(servers) > 0 && servers[0].Addr().IsLoopback() {
		return lookup(ctx, name, servers)
	}
	return r.askBus(ctx, name)
}

func (r *resolved) askBus(ctx context.Context, name string) ([]netip.Addr, error) {
	r.mu.Lock()
	bus, err := r.connection()
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	type address struct {
		Index   int32
		Family  int32
		Address []byte
	}
	var addresses []address
	var canonical string
	var flags uint64
	err = bus.Object(resolvedBusName, "/org/freedesktop/resolve1").CallWithContext(ctx, resolvedBusName+".Manager.ResolveHostname", 0,
		int32(0), name, int32(syscall.AF_UNSPEC), uint64(0)).Store(&addresses, &canonical, &flags)
	if err != nil {
		return nil, fmt.Errorf("ask systemd-resolved: %w", err)
	}
	var found []netip.Addr
	for _, a := range addresses {
		if address, ok := netip.AddrFromSlice(a.Address); ok {
			found = append(found, address)
		}
	}
	return found, nil
}

func (r *resolved) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bus.Close()
}
