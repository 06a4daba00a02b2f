// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	netwire "golang.org/x/net/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
)

// EchoDialer opens a socket that sends ICMP echo requests to one address and receives the replies; messages are whole
// ICMP messages, whose identifier the socket may set as it likes.
type EchoDialer func(ctx context.Context, target netip.Addr) (net.PacketConn, net.Addr, error)

// DialEcho opens an unprivileged ICMP socket, as Linux gives to the groups of net.ipv4.ping_group_range.
func DialEcho(_ context.Context, target netip.Addr) (net.PacketConn, net.Addr, error) {
	network, any := "udp4", "0.0.0.0"
	if target.Is6() {
		network, any = "udp6", "::"
	}
	conn, err := netwire.ListenPacket(network, any)
	if err != nil {
		return nil, nil, fmt.Errorf("open ping socket (is the gateway's group in net.ipv4.ping_group_range?): %w", err)
	}
	return conn, &net.UDPAddr{IP: target.AsSlice()}, nil
}

// echoKey names a series of pings: who pings whom, with which identifier.
type echoKey struct {
	laptop, target netip.Addr
	id             uint16
}

// echoFlows are the pings that a laptop has under way.
type echoFlows struct {
	s      *Stack
	mu     sync.Mutex
	flows  map[echoKey]*echoFlow
	closed bool
}

func (e *echoFlows) install(s *Stack) {
	e.s = s
	e.flows = map[echoKey]*echoFlow{}
	s.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, e.handle)
	s.stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, e.handle)
}

func (e *echoFlows) open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.flows)
}

// handle takes an ICMP message. It returns false to have the stack answer by itself.
func (e *echoFlows) handle(_ stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	ip := pkt.NetworkHeader().Slice()
	p, ok := parseQuoted(ip)
	if !ok || e.s.gatewayAddress(p.dst) {
		return false
	}
	message := append([]byte(nil), pkt.TransportHeader().Slice()...)
	message = append(message, pkt.Data().AsRange().ToSlice()...)
	if len(message) < header.ICMPv4MinimumSize || !isEcho(message[0], p.v6, false) {
		return true
	}
	real, err := e.s.target(p.dst)
	if err != nil {
		e.s.counters.refused.Add(1)
		e.s.sendUnreachable(append(append([]byte(nil), ip...), message...), unreachableProhibited)
		return true
	}
	key := echoKey{laptop: p.src, target: p.dst, id: binary.BigEndian.Uint16(message[4:])}
	if f := e.find(key, real); f != nil {
		f.send(message)
	}
	return true
}

// isEcho reports whether an ICMP type is that of an echo request, or of a reply.
func isEcho(kind byte, v6, reply bool) bool {
	switch {
	case v6 && reply:
		return kind == byte(header.ICMPv6EchoReply)
	case v6:
		return kind == byte(header.ICMPv6EchoRequest)
	case reply:
		return kind == byte(header.ICMPv4EchoReply)
	default:
		return kind == byte(header.ICMPv4Echo)
	}
}

// find returns the flow of a key, opening it if need be; nil if it can't be.
func (e *echoFlows) find(key echoKey, real netip.Addr) *echoFlow {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.flows[key]; f != nil {
		return f
	}
	if e.closed {
		return nil
	}
	conn, address, err := e.s.config.Echo(e.s.ctx, real)
	if err != nil {
		e.s.log.Warn("ping", "target", real, "error", err)
		return nil
	}
	if len(e.flows) >= e.s.limits.EchoFlows {
		e.evict()
	}
	f := &echoFlow{flows: e, key: key, conn: conn, address: address}
	f.last.Store(time.Now().UnixNano())
	e.flows[key] = f
	e.s.counters.echoOpened.Add(1)
	go f.toLaptop()
	return f
}

func (e *echoFlows) evict() {
	var oldest *echoFlow
	for _, f := range e.flows {
		if oldest == nil || f.last.Load() < oldest.last.Load() {
			oldest = f
		}
	}
	delete(e.flows, oldest.key)
	_ = oldest.conn.Close()
}

func (e *echoFlows) remove(f *echoFlow) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flows[f.key] == f {
		delete(e.flows, f.key)
	}
}

func (e *echoFlows) closeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, f := range e.flows {
		_ = f.conn.Close()
	}
}

// echoFlow is one series of pings.
type echoFlow struct {
	flows   *echoFlows
	key     echoKey
	conn    net.PacketConn
	address net.Addr
	last    atomic.Int64 // Unix time of the last request, in nanoseconds
}

// send passes a request on. The kernel puts the socket's own identifier and checksum in.
func (f *echoFlow) send(message []byte) {
	f.last.Store(time.Now().UnixNano())
	message[2], message[3] = 0, 0
	if f.key.target.Is4() {
		binary.BigEndian.PutUint16(message[2:], ^checksum.Checksum(message, 0))
	}
	if _, err := f.conn.WriteTo(message, f.address); err != nil {
		f.flows.s.log.Debug("ping", "target", f.address, "error", err)
	}
}

// toLaptop passes replies on, under the identifier that the laptop used and from the address that it asked.
func (f *echoFlow) toLaptop() {
	defer f.flows.remove(f)
	defer f.conn.Close()
	array := make([]byte, 64<<10)
	for {
		left := echoIdle - time.Since(time.Unix(0, f.last.Load()))
		if left <= 0 {
			return
		}
		_ = f.conn.SetReadDeadline(time.Now().Add(left))
		n, _, err := f.conn.ReadFrom(array)
		if err != nil {
			if timedOut(err) {
				continue
			}
			return
		}
		v6 := f.key.target.Is6()
		if n < header.ICMPv4MinimumSize || !isEcho(array[0], v6, true) {
			continue
		}
		protocol, offset := byte(protocolICMP), header.IPv4MinimumSize
		if v6 {
			protocol, offset = protocolICMPv6, header.IPv6MinimumSize
		}
		b := f.flows.s.newPacket(f.key.target, f.key.laptop, protocol, n)
		message := b[offset:]
		copy(message, array[:n])
		message[2], message[3] = 0, 0
		binary.BigEndian.PutUint16(message[4:], f.key.id)
		f.flows.s.finishICMP(b)
	}
}
