// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// unreachable is a reason why a packet did not reach its target, as ICMP tells it (RFC 792, RFC 4443).
type unreachable int

const (
	unreachableHost unreachable = iota
	unreachableNetwork
	unreachablePort
	unreachableProhibited
)

// codes returns the code of the reason in ICMP and in ICMPv6 destination unreachable messages.
func (u unreachable) codes() (v4, v6 byte) {
	switch u {
	case unreachableNetwork:
		return 0, 0
	case unreachablePort:
		return 3, 4
	case unreachableProhibited:
		return 13, 1
	default:
		return 1, 3
	}
}

// reasonOf tells what a router would have told about a failed dial; false if it would have been silent.
func reasonOf(err error) (unreachable, bool) {
	switch {
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return unreachableHost, true
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
		return unreachableNetwork, true
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return unreachableProhibited, true
	}
	return 0, false
}

// refusedBy reports whether the target itself refused.
func refusedBy(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// timedOut reports whether the target was silent.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// sendUnreachable tells the laptop that what begins with original, an IP header and at least 8 bytes more, did not
// reach its target.
func (s *Stack) sendUnreachable(original []byte, reason unreachable) {
	p, ok := parseQuoted(original)
	if !ok {
		return
	}
	v4, v6 := reason.codes()
	const icmpHeader = 8
	if p.v6 {
		quote := original[:min(len(original), header.IPv6MinimumMTU-header.IPv6MinimumSize-icmpHeader)]
		b := s.newPacket(p.dst, p.src, protocolICMPv6, icmpHeader+len(quote))
		icmp := b[header.IPv6MinimumSize:]
		icmp[0], icmp[1] = 1, v6 // destination unreachable
		copy(icmp[icmpHeader:], quote)
		s.finishICMP(b)
		return
	}
	quote := original[:min(len(original), 576-header.IPv4MinimumSize-icmpHeader)] // RFC 1812, section 4.3.2.3
	b := s.newPacket(p.dst, p.src, protocolICMP, icmpHeader+len(quote))
	icmp := b[header.IPv4MinimumSize:]
	icmp[0], icmp[1] = 3, v4 // destination unreachable
	copy(icmp[icmpHeader:], quote)
	s.finishICMP(b)
}

// parseQuoted reads addresses from an IP header whose packet may be cut short.
func parseQuoted(b []byte) (packet, bool) {
	src := SourceOf(b)
	if !src.IsValid() {
		return packet{}, false
	}
	if src.Is4() {
		return packet{src: src, dst: netip.AddrFrom4([4]byte(b[16:20]))}, true
	}
	return packet{v6: true, src: src, dst: netip.AddrFrom16([16]byte(b[24:40]))}, true
}

// newPacket returns an IP packet with size bytes of zero payload, its header complete.
func (s *Stack) newPacket(src, dst netip.Addr, protocol byte, size int) []byte {
	const hopLimit = 64
	if src.Is6() {
		b := make([]byte, header.IPv6MinimumSize+size)
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(size))
		b[6], b[7] = protocol, hopLimit
		copy(b[8:24], src.AsSlice())
		copy(b[24:40], dst.AsSlice())
		return b
	}
	b := make([]byte, header.IPv4MinimumSize+size)
	b[0] = 4<<4 | header.IPv4MinimumSize/4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], uint16(s.ids.Add(1)))
	b[8], b[9] = hopLimit, protocol
	copy(b[12:16], src.AsSlice())
	copy(b[16:20], dst.AsSlice())
	setIPv4Checksum(b[:header.IPv4MinimumSize])
	return b
}

// finishICMP sums an ICMP or ICMPv6 packet up and sends it.
func (s *Stack) finishICMP(b []byte) {
	if b[0]>>4 == 6 {
		icmp := b[header.IPv6MinimumSize:]
		sum := checksum.Checksum(icmp, pseudoHeader(b[8:40], protocolICMPv6, len(icmp)))
		binary.BigEndian.PutUint16(icmp[2:], ^sum)
	} else {
		icmp := b[header.IPv4MinimumSize:]
		binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, 0))
	}
	s.sendRaw(b)
}

// sendUDP sends a datagram to the laptop and reports whether there was room for it.
func (s *Stack) sendUDP(src, dst netip.AddrPort, payload []byte) bool {
	b := s.newPacket(src.Addr(), dst.Addr(), protocolUDP, header.UDPMinimumSize+len(payload))
	addresses, u := b[12:20], b[header.IPv4MinimumSize:]
	if src.Addr().Is6() {
		addresses, u = b[8:40], b[header.IPv6MinimumSize:]
	}
	binary.BigEndian.PutUint16(u[0:], src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	copy(u[header.UDPMinimumSize:], payload)
	sum := ^checksum.Checksum(u, pseudoHeader(addresses, protocolUDP, len(u)))
	if sum == 0 {
		sum = 0xffff // 0 means that there is none
	}
	binary.BigEndian.PutUint16(u[6:], sum)
	return s.sendRaw(b)
}

// sendRaw queues an IP packet without options for the laptop. It never waits: it may be called on the way in.
func (s *Stack) sendRaw(b []byte) bool {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	defer pkt.DecRef()
	headerLen := header.IPv4MinimumSize
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	if b[0]>>4 == 6 {
		headerLen = header.IPv6MinimumSize
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
	}
	if _, ok := pkt.NetworkHeader().Consume(headerLen); !ok {
		return false
	}
	if !s.link.push(pkt, false) {
		s.counters.noRoom.Add(1)
		return false
	}
	return true
}
