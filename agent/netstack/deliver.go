// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Deliver takes packets from the laptop: each is packets[i][offset:], already decrypted and with a source address that
// is the peer's. It does not keep them.
func (s *Stack) Deliver(packets [][]byte, offset int) {
	for _, b := range packets {
		p, ok := parsePacket(b[offset:])
		if !ok || !p.ipHeaderValid() {
			s.counters.malformed.Add(1)
			continue
		}
		s.deliver(&p)
	}
	s.merger.flush()
}

func (s *Stack) deliver(p *packet) {
	if p.dst.IsMulticast() {
		return // a laptop's own noise: neighbour discovery, mDNS and the like
	}
	if p.dst.IsLoopback() || p.dst.IsLinkLocalUnicast() || p.dst.IsUnspecified() {
		s.counters.refused.Add(1)
		if p.protocol == protocolTCP || p.protocol == protocolUDP {
			s.sendUnreachable(p.bytes, unreachableProhibited)
		}
		return
	}
	if p.fragment {
		s.deliverOther(p)
		return
	}
	switch p.protocol {
	case protocolTCP:
		if !p.transportChecksumValid() {
			s.counters.malformed.Add(1)
			return
		}
		s.tcp.giveWay(p)
		if !s.merger.add(p) {
			s.counters.malformed.Add(1)
		}
	case protocolUDP:
		if !s.udp.deliver(p) {
			s.counters.malformed.Add(1)
		}
	default:
		s.deliverOther(p)
	}
}

// deliverTCP hands a segment to the stack unless the peer already has too much data waiting: then TCP sends it again.
func (s *Stack) deliverTCP(v6 bool, v *buffer.View) {
	size := int64(v.Size())
	if s.buffered.Add(size) > s.limits.ReceiveBytes {
		s.buffered.Add(-size)
		s.counters.noRoom.Add(1)
		v.Release()
		return
	}
	if !s.budget.take(size) {
		s.buffered.Add(-size)
		s.counters.noRoom.Add(1)
		v.Release()
		return
	}
	release := func() {
		s.buffered.Add(-size)
		s.budget.give(size)
	}
	s.inject(v6, v, release)
}

// deliverOther hands anything else to the stack: fragments, ICMP, packets with extension headers.
func (s *Stack) deliverOther(p *packet) {
	s.inject(p.v6, buffer.NewViewWithData(p.bytes), nil)
}

func (s *Stack) inject(v6 bool, v *buffer.View, release func()) {
	protocol := header.IPv4ProtocolNumber
	if v6 {
		protocol = header.IPv6ProtocolNumber
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v), OnRelease: release})
	s.link.deliver(protocol, pkt)
	pkt.DecRef()
}

// Collect writes packets for the laptop to bufs[i][offset:], each at most mtu bytes, sets sizes, and returns how many.
// It stops at the end of a packet after about quantum bytes, and, unless it would be the first, before one of which bufs would take
// a part only: what is cut into pieces for the way is put together again by the laptop, as far as the pieces come at once. It
// never waits.
func (s *Stack) Collect(bufs [][]byte, sizes []int, offset, mtu, quantum int) int {
	n := 0
	for n < len(bufs) {
		if !s.cutter.loaded() {
			if n > 0 && (quantum <= 0 || s.link.nextSize() > (len(bufs)-n)*(mtu-header.TCPTotalHeaderMaximumSize)) {
				break
			}
			pkt := s.link.pop()
			if pkt == nil {
				break
			}
			s.cutter.load(pkt, s.ids.Add(1))
			continue
		}
		size := s.cutter.next(bufs[n][offset:], min(mtu, len(bufs[n])-offset))
		if size == 0 {
			s.counters.noRoom.Add(1)
			continue
		}
		sizes[n] = size
		quantum -= size
		n++
	}
	return n
}

// Pending reports whether Collect would return something. It belongs to the goroutine that calls Collect.
func (s *Stack) Pending() bool { return s.cutter.loaded() || !s.link.empty() }
