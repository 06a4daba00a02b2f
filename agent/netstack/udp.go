// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// udpKey names a UDP flow: the laptop's socket and the one that it talks to, as the laptop sees it.
type udpKey struct{ laptop, target netip.AddrPort }

// udpFlows are the UDP flows of a stack. Each is a connected socket towards its target; it ends when it has been
// silent for a while.
type udpFlows struct {
	s      *Stack
	mu     sync.Mutex
	flows  map[udpKey]*udpFlow
	closed bool
}

func (u *udpFlows) install(s *Stack) {
	u.s = s
	u.flows = map[udpKey]*udpFlow{}
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, u.handle)
}

func (u *udpFlows) open() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.flows)
}

// deliver takes a whole UDP packet. It reports false for a malformed one.
func (u *udpFlows) deliver(p *packet) bool {
	datagram := p.payload()
	if len(datagram) < header.UDPMinimumSize {
		return false
	}
	size := int(binary.BigEndian.Uint16(datagram[4:]))
	if size < header.UDPMinimumSize || size > len(datagram) {
		return false
	}
	hasChecksum := datagram[6] != 0 || datagram[7] != 0
	if (hasChecksum || p.v6) && !p.transportChecksumValid() {
		return false
	}
	key := udpKey{
		laptop: netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(datagram[0:])),
		target: netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(datagram[2:])),
	}
	quote := p.bytes[:min(len(p.bytes), p.transport+header.UDPMinimumSize)]
	u.take(key, datagram[header.UDPMinimumSize:size], quote)
	return true
}

// handle takes a datagram that gVisor had to put together from fragments, or to free of extension headers.
func (u *udpFlows) handle(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	key := udpKey{
		laptop: netip.AddrPortFrom(fromTCPIP(id.RemoteAddress), id.RemotePort),
		target: netip.AddrPortFrom(fromTCPIP(id.LocalAddress), id.LocalPort),
	}
	ip, transport := pkt.NetworkHeader().Slice(), pkt.TransportHeader().Slice()
	quote := append(append(make([]byte, 0, len(ip)+len(transport)), ip...), transport...)
	u.take(key, pkt.Data().AsRange().ToSlice(), quote)
	return true
}

// take passes a datagram on. quote is what an ICMP error about it has to quote.
func (u *udpFlows) take(key udpKey, payload, quote []byte) {
	if u.s.gatewayAddress(key.target.Addr()) {
		if key.target.Port() == dnsPort && u.s.config.DNS != nil {
			u.s.answerDNS(key, payload)
			return
		}
		u.s.sendUnreachable(quote, unreachablePort)
		return
	}
	u.mu.Lock()
	f := u.flows[key]
	u.mu.Unlock()
	if f == nil {
		real, err := u.s.target(key.target.Addr())
		if err != nil {
			u.s.counters.refused.Add(1)
			u.s.sendUnreachable(quote, unreachableProhibited)
			return
		}
		if f = u.create(key, netip.AddrPortFrom(real, key.target.Port()), quote); f == nil {
			return
		}
	}
	f.send(payload)
}

// create opens a flow. The socket is made at once: connecting a UDP socket to an address takes no time.
func (u *udpFlows) create(key udpKey, real netip.AddrPort, quote []byte) *udpFlow {
	ctx, cancel := context.WithTimeout(u.s.ctx, time.Second)
	defer cancel()
	conn, err := u.s.config.Dialer.DialContext(ctx, "udp", real.String())
	if err != nil {
		if reason, known := reasonOf(err); known {
			u.s.sendUnreachable(quote, reason)
		} else {
			u.s.log.Warn("open UDP socket", "target", real, "error", err)
		}
		return nil
	}
	f := &udpFlow{flows: u, key: key, conn: conn, quote: append([]byte(nil), quote...), last: time.Now()}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		_ = conn.Close()
		return nil
	}
	if len(u.flows) >= u.s.limits.UDPFlows {
		u.evict()
	}
	u.flows[key] = f
	u.s.counters.udpOpened.Add(1)
	go f.toLaptop()
	return f
}

// evict ends a flow that has been silent for longest among a few: a whole search would cost every new flow dear.
func (u *udpFlows) evict() {
	const sample = 16
	var oldest *udpFlow
	n := 0
	for _, f := range u.flows {
		if oldest == nil || f.lastUsed().Before(oldest.lastUsed()) {
			oldest = f
		}
		if n++; n == sample {
			break
		}
	}
	delete(u.flows, oldest.key)
	_ = oldest.conn.Close()
}

func (u *udpFlows) remove(f *udpFlow) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.flows[f.key] == f {
		delete(u.flows, f.key)
	}
}

func (u *udpFlows) closeAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, f := range u.flows {
		_ = f.conn.Close()
	}
}

// udpFlow is one of them.
type udpFlow struct {
	flows *udpFlows
	key   udpKey
	conn  net.Conn
	quote []byte // the first packet's headers, for ICMP errors

	mu            sync.Mutex
	last          time.Time // of a datagram either way
	sent, answers int
}

func (f *udpFlow) lastUsed() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// send passes a datagram to the target.
func (f *udpFlow) send(payload []byte) {
	f.mu.Lock()
	f.last = time.Now()
	f.sent++
	f.mu.Unlock()
	if _, err := f.conn.Write(payload); err != nil && refusedBy(err) {
		f.flows.s.sendUnreachable(f.quote, unreachablePort)
	}
}

// idle returns how long the flow may still be silent.
func (f *udpFlow) idle() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	limit := udpIdle
	if f.sent <= 1 && f.answers <= 1 {
		limit = udpIdleShort
	}
	return limit - time.Since(f.last)
}

// toLaptop passes the target's datagrams on until the flow has been silent for too long.
func (f *udpFlow) toLaptop() {
	defer f.flows.remove(f)
	defer f.conn.Close()
	source := newSource(f.conn)
	for {
		left := f.idle()
		if left <= 0 {
			return
		}
		_ = f.conn.SetReadDeadline(time.Now().Add(left))
		n, array, err := source.readDatagram()
		switch {
		case err == nil:
			f.flows.s.sendUDP(f.key.target, f.key.laptop, array[:n])
			f.mu.Lock()
			f.last = time.Now()
			f.answers++
			f.mu.Unlock()
		case refusedBy(err):
			f.flows.s.sendUnreachable(f.quote, unreachablePort)
		case timedOut(err): // idle decides
		default:
			if reason, known := reasonOf(err); known {
				f.flows.s.sendUnreachable(f.quote, reason)
			}
			if array != nil {
				pumpBuffers.Put(array)
			}
			return
		}
		if array != nil {
			pumpBuffers.Put(array)
		}
	}
}
