// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flowLifetime is for how long a UDP or ping flow stays open for answers after its last packet, at least; at most
	// twice as long. The kernel's own connection tracking gives two-way UDP two minutes.
	flowLifetime = 2 * time.Minute
	// fragmentLifetime is for how long the rest of a fragmented packet may follow, at least.
	fragmentLifetime = 30 * time.Second
	// maxFlows bounds how many flows are remembered in each half of their lifetime; beyond that the oldest go early.
	maxFlows = 16384
)

// filter decides which packets from the tunnel get into this machine. What the machine sends opens the way for
// the answers. TCP needs no memory for that: what asks for a new connection is refused unless its port is named, and
// everything else only reaches connections that exist. Its methods may be called at the same time.
type filter struct {
	settings atomic.Pointer[filterSettings]
	dropped  atomic.Uint64 // packets

	mu        sync.Mutex
	flows     generations[flow]
	fragments generations[fragmentKey]
}

// filterSettings are replaced as a whole.
type filterSettings struct {
	addresses []netip.Addr // of this machine inside the tunnel
	ports     []uint16     // TCP ports that connections may be opened to
}

// flow names a UDP or ping exchange by how this machine's packets look. For pings both ports are the identifier.
type flow struct {
	protocol      uint8
	local, remote netip.AddrPort
}

type fragmentKey struct {
	source, destination netip.Addr
	protocol            uint8
	id                  uint32
}

func newFilter(addresses []netip.Addr, ports []uint16) *filter {
	f := &filter{
		flows:     generations[flow]{lifetime: flowLifetime, limit: maxFlows},
		fragments: generations[fragmentKey]{lifetime: fragmentLifetime, limit: maxFlows},
	}
	f.configure(addresses, ports)
	return f
}

// configure replaces the machine's addresses and the ports that are open. Flows stay.
func (f *filter) configure(addresses []netip.Addr, ports []uint16) {
	f.settings.Store(&filterSettings{addresses: slices.Clone(addresses), ports: slices.Clone(ports)})
}

// outbound takes note of a packet that this machine sends into the tunnel.
func (f *filter) outbound(now time.Time, b []byte) {
	if transportProtocol(b) == protocolTCP {
		return
	}
	p, ok := parsePacket(b)
	if !ok || !p.first {
		return
	}
	if opened, ok := p.opens(); ok {
		f.mu.Lock()
		f.flows.add(now, opened)
		f.mu.Unlock()
	}
}

// transportProtocol reads the protocol of a packet without parsing it; 0 if there is none.
func transportProtocol(b []byte) uint8 {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return b[9]
	case len(b) >= 40 && b[0]>>4 == 6:
		return b[6]
	}
	return 0
}

// opens returns the flow that a packet of this machine opens the way back for.
func (p packet) opens() (flow, bool) {
	switch {
	case p.protocol == protocolUDP:
		source, destination, ok := p.ports()
		return p.flow(source, destination), ok
	case p.isEcho(echoRequest, echoRequestV6):
		id := binary.BigEndian.Uint16(p.transport[4:])
		return p.flow(id, id), true
	}
	return flow{}, false
}

// flow returns the flow of a packet that this machine sends.
func (p packet) flow(local, remote uint16) flow {
	return flow{
		protocol: p.protocol, local: netip.AddrPortFrom(p.source, local), remote: netip.AddrPortFrom(p.destination, remote),
	}
}

// reverse returns the flow that a packet answers.
func (p packet) reverse(remote, local uint16) flow {
	return flow{
		protocol: p.protocol, local: netip.AddrPortFrom(p.destination, local), remote: netip.AddrPortFrom(p.source, remote),
	}
}

// inbound reports whether a packet from the tunnel may enter. What may not is counted.
func (f *filter) inbound(now time.Time, b []byte) bool {
	ok := f.allows(now, b)
	if !ok {
		f.dropped.Add(1)
	}
	return ok
}

func (f *filter) allows(now time.Time, b []byte) bool {
	p, ok := parsePacket(b)
	settings := f.settings.Load()
	if !ok || !slices.Contains(settings.addresses, p.destination) {
		return false
	}
	if !p.fragment {
		return f.allowsWhole(now, settings, p)
	}
	if p.protocol == protocolTCP { // the gateway cuts TCP into segments instead; a fragment could hide its flags
		return false
	}
	key := fragmentKey{source: p.source, destination: p.destination, protocol: p.protocol, id: p.id}
	if p.first && !f.allowsWhole(now, settings, p) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.first {
		f.fragments.add(now, key)
		return true
	}
	return f.fragments.has(now, key)
}

// allowsWhole decides on a packet that has its transport header.
func (f *filter) allowsWhole(now time.Time, settings *filterSettings, p packet) bool {
	switch {
	case p.protocol == protocolTCP:
		_, port, ok := p.ports()
		return ok && (!p.opensTCP() || slices.Contains(settings.ports, port))
	case p.protocol == protocolUDP:
		source, destination, ok := p.ports()
		return ok && f.answers(now, p.reverse(source, destination))
	case p.isEcho(echoReply, echoReplyV6):
		id := binary.BigEndian.Uint16(p.transport[4:])
		return f.answers(now, p.reverse(id, id))
	case p.isError():
		return f.concernsUs(now, p)
	}
	return false
}

// answers reports whether this machine opened the flow, and keeps it open.
func (f *filter) answers(now time.Time, opened flow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.flows.has(now, opened) {
		return false
	}
	f.flows.add(now, opened)
	return true
}

// concernsUs reports whether an ICMP error is about a packet that this machine may have sent to where it says.
func (f *filter) concernsUs(now time.Time, p packet) bool {
	const header = 8 // RFC 792 and RFC 4443: type, code, checksum, four bytes more
	if len(p.transport) < header {
		return false
	}
	about, ok := parsePacket(p.transport[header:])
	if !ok || about.source != p.destination {
		return false
	}
	if about.protocol == protocolTCP {
		return true
	}
	if !about.first {
		return false
	}
	sent, ok := about.opens()
	if !ok {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flows.has(now, sent)
}

// ICMP types of RFC 792 and RFC 4443.
const (
	echoReply, echoRequest     = 0, 8
	echoRequestV6, echoReplyV6 = 128, 129
)

// isEcho reports whether a packet is an ICMP message of the type given for its family, with an identifier.
func (p packet) isEcho(v4, v6 uint8) bool {
	if len(p.transport) < 8 {
		return false
	}
	return p.protocol == protocolICMP && p.source.Is4() && p.transport[0] == v4 ||
		p.protocol == protocolICMPv6 && p.source.Is6() && p.transport[0] == v6
}

// isError reports whether a packet is an ICMP error: destination unreachable, packet too big, time exceeded, parameter
// problem. Redirects and router messages are none.
func (p packet) isError() bool {
	if len(p.transport) == 0 {
		return false
	}
	kind := p.transport[0]
	return p.protocol == protocolICMP && p.source.Is4() && (kind == 3 || kind == 11 || kind == 12) ||
		p.protocol == protocolICMPv6 && p.source.Is6() && kind >= 1 && kind <= 4
}

// generations is a set whose members are forgotten between one and two lifetimes after they were last added, or
// earlier when there are too many. Nothing in it costs more than one look into a map.
type generations[K comparable] struct {
	lifetime time.Duration
	limit    int
	young    map[K]struct{}
	old      map[K]struct{}
	turned   time.Time // when young began
}

func (g *generations[K]) turn(now time.Time) {
	age := now.Sub(g.turned)
	if g.young != nil && age < g.lifetime && len(g.young) < g.limit {
		return
	}
	g.old, g.young, g.turned = g.young, map[K]struct{}{}, now
	if age >= 2*g.lifetime {
		g.old = nil
	}
}

func (g *generations[K]) add(now time.Time, key K) {
	g.turn(now)
	g.young[key] = struct{}{}
}

func (g *generations[K]) has(now time.Time, key K) bool {
	g.turn(now)
	if _, ok := g.young[key]; ok {
		return true
	}
	_, ok := g.old[key]
	return ok
}
