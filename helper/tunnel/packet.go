// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers, from the registry of IANA.
const (
	protocolICMP     = 1
	protocolTCP      = 6
	protocolUDP      = 17
	protocolFragment = 44 // IPv6 extension header
	protocolICMPv6   = 58
)

// packet is what the filter looks at.
type packet struct {
	source, destination netip.Addr
	protocol            uint8
	fragment            bool   // one of several
	first               bool   // begins the transport header; true for whole packets
	id                  uint32 // of the fragmented packet
	transport           []byte // the transport header and what follows, as far as it is there
}

// parsePacket reads the headers of an IP packet. It reports false for what is not one, or has an IPv6 extension header
// other than a fragment header before its transport: nothing that the gateway sends has.
func parsePacket(b []byte) (packet, bool) {
	if len(b) == 0 {
		return packet{}, false
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b)
	case 6:
		return parseIPv6(b)
	}
	return packet{}, false
}

// parseIPv4 follows RFC 791, section 3.1.
func parseIPv4(b []byte) (packet, bool) {
	if len(b) < 20 {
		return packet{}, false
	}
	header := int(b[0]&0x0F) * 4
	if header < 20 || header > len(b) {
		return packet{}, false
	}
	const moreFragments, offsetMask = 0x2000, 0x1FFF
	flags := binary.BigEndian.Uint16(b[6:])
	return packet{
		source: netip.AddrFrom4([4]byte(b[12:16])), destination: netip.AddrFrom4([4]byte(b[16:20])), protocol: b[9],
		fragment: flags&(moreFragments|offsetMask) != 0, first: flags&offsetMask == 0,
		id: uint32(binary.BigEndian.Uint16(b[4:])), transport: b[header:],
	}, true
}

// parseIPv6 follows RFC 8200, sections 3 and 4.5.
func parseIPv6(b []byte) (packet, bool) {
	if len(b) < 40 {
		return packet{}, false
	}
	p := packet{
		source: netip.AddrFrom16([16]byte(b[8:24])), destination: netip.AddrFrom16([16]byte(b[24:40])), protocol: b[6],
		first: true, transport: b[40:],
	}
	if p.protocol != protocolFragment {
		return p, true
	}
	if len(p.transport) < 8 {
		return packet{}, false
	}
	p.protocol, p.fragment = p.transport[0], true
	p.first = binary.BigEndian.Uint16(p.transport[2:])&0xFFF8 == 0
	p.id = binary.BigEndian.Uint32(p.transport[4:])
	p.transport = p.transport[8:]
	return p, true
}

// ports returns the ports of a TCP or UDP packet.
func (p packet) ports() (source, destination uint16, ok bool) {
	if len(p.transport) < 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(p.transport), binary.BigEndian.Uint16(p.transport[2:]), true
}

// opensTCP reports whether a TCP packet asks for a new connection (RFC 9293, section 3.1): SYN without ACK. A packet
// too short to tell counts as one.
func (p packet) opensTCP() bool {
	const syn, ack = 0x02, 0x10
	return len(p.transport) < 14 || p.transport[13]&(syn|ack) == syn
}
