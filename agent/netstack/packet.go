// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Protocol numbers (IANA).
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// packet is one IP packet, taken apart. It refers to the bytes it was parsed from.
type packet struct {
	bytes     []byte // the whole packet, without what may follow it
	v6        bool
	protocol  byte
	fragment  bool
	src, dst  netip.Addr
	transport int // offset of what follows the IP header
}

// parsePacket reads the IP header. It reports false for what is not a whole IP packet. IPv6 extension headers are not
// followed: such a packet has the extension's number as its protocol.
func parsePacket(b []byte) (packet, bool) {
	if len(b) == 0 {
		return packet{}, false
	}
	switch b[0] >> 4 {
	case 4:
		if len(b) < header.IPv4MinimumSize {
			return packet{}, false
		}
		headerLen := int(b[0]&0xf) * 4
		total := int(binary.BigEndian.Uint16(b[2:]))
		if headerLen < header.IPv4MinimumSize || total < headerLen || total > len(b) {
			return packet{}, false
		}
		return packet{
			bytes:     b[:total],
			protocol:  b[9],
			fragment:  binary.BigEndian.Uint16(b[6:])&0x3fff != 0, // more fragments, or an offset
			src:       netip.AddrFrom4([4]byte(b[12:16])),
			dst:       netip.AddrFrom4([4]byte(b[16:20])),
			transport: headerLen,
		}, true
	case 6:
		if len(b) < header.IPv6MinimumSize {
			return packet{}, false
		}
		total := header.IPv6MinimumSize + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return packet{}, false
		}
		return packet{
			bytes:     b[:total],
			v6:        true,
			protocol:  b[6],
			src:       netip.AddrFrom16([16]byte(b[8:24])),
			dst:       netip.AddrFrom16([16]byte(b[24:40])),
			transport: header.IPv6MinimumSize,
		}, true
	}
	return packet{}, false
}

// SourceOf returns the source address of an IP packet, or the zero address for what is none.
func SourceOf(b []byte) netip.Addr {
	switch {
	case len(b) >= header.IPv4MinimumSize && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[12:16]))
	case len(b) >= header.IPv6MinimumSize && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[8:24]))
	}
	return netip.Addr{}
}

func (p *packet) payload() []byte { return p.bytes[p.transport:] }

// transportChecksumValid checks the checksum of TCP, UDP or ICMPv6, which covers the addresses too. A UDP packet over
// IPv4 may have none (RFC 768).
func (p *packet) transportChecksumValid() bool {
	return checksum.Checksum(p.payload(), pseudoHeader(p.addresses(), p.protocol, len(p.payload()))) == 0xffff
}

// addresses returns source and destination as they stand in the packet.
func (p *packet) addresses() []byte {
	if p.v6 {
		return p.bytes[8:40]
	}
	return p.bytes[12:20]
}

// ipHeaderValid checks the checksum of an IPv4 header; IPv6 has none.
func (p *packet) ipHeaderValid() bool {
	return p.v6 || checksum.Checksum(p.bytes[:p.transport], 0) == 0xffff
}

// pseudoHeader sums what TCP, UDP and ICMPv6 checksums cover besides the packet's payload (RFC 9293, RFC 8200).
func pseudoHeader(addresses []byte, protocol byte, length int) uint16 {
	sum := checksum.Checksum(addresses, 0)
	sum = checksum.Combine(sum, uint16(protocol))
	return checksum.Combine(sum, uint16(length))
}

func toTCPIP(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func fromTCPIP(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}
