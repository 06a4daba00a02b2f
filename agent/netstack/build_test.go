// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

var (
	laptop4, target4 = netip.MustParseAddr("198.19.0.1"), netip.MustParseAddr("10.96.0.10")
	laptop6, target6 = netip.MustParseAddr("fd5a::1"), netip.MustParseAddr("fd00:96::10")
)

// segment describes a TCP packet of a test.
type segment struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	seq, ack         uint32
	flags            byte
	options          []byte // a multiple of 4 bytes
	payload          []byte
}

const flagAck, flagPsh, flagFin, flagSyn, flagRst = 0x10, 0x08, 0x01, 0x02, 0x04

// ipPacket makes a packet with a payload; checksums of the payload are not its business.
func ipPacket(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	s := &Stack{}
	b := s.newPacket(src, dst, protocol, len(payload))
	copy(b[len(b)-len(payload):], payload)
	return b
}

func (s segment) packet() []byte {
	if !s.src.IsValid() {
		s.src, s.dst = laptop4, target4
	}
	tcp := make([]byte, header.TCPMinimumSize+len(s.options)+len(s.payload))
	binary.BigEndian.PutUint16(tcp[0:], s.srcPort)
	binary.BigEndian.PutUint16(tcp[2:], s.dstPort)
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12] = byte(header.TCPMinimumSize+len(s.options)) / 4 << 4
	tcp[13] = s.flags
	binary.BigEndian.PutUint16(tcp[14:], 1000)
	copy(tcp[header.TCPMinimumSize:], s.options)
	copy(tcp[header.TCPMinimumSize+len(s.options):], s.payload)
	b := ipPacket(s.src, s.dst, protocolTCP, tcp)
	fixTCP(b)
	return b
}

func fixTCP(b []byte) {
	p, _ := parsePacket(b)
	tcp := p.payload()
	tcp[16], tcp[17] = 0, 0
	binary.BigEndian.PutUint16(tcp[16:], ^checksum.Checksum(tcp, pseudoHeader(p.addresses(), protocolTCP, len(tcp))))
}

func udpPacket(src, dst netip.AddrPort, payload []byte) []byte {
	u := make([]byte, header.UDPMinimumSize+len(payload))
	binary.BigEndian.PutUint16(u[0:], src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	copy(u[8:], payload)
	b := ipPacket(src.Addr(), dst.Addr(), protocolUDP, u)
	p, _ := parsePacket(b)
	binary.BigEndian.PutUint16(p.payload()[6:], ^checksum.Checksum(u, pseudoHeader(p.addresses(), protocolUDP, len(u))))
	return b
}

// bytesOf returns n bytes that differ from their neighbours.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// outgoing makes a packet as gVisor hands it to the link: a view with headers, and views with data.
func outgoing(t testing.TB, b []byte, views ...int) *stack.PacketBuffer {
	t.Helper()
	p, ok := parsePacket(b)
	if !ok {
		t.Fatal("not a packet")
	}
	transport := 0
	if p.protocol == protocolTCP {
		transport = int(p.payload()[12]>>4) * 4
	}
	payload := b[p.transport+transport:]
	var data buffer.Buffer
	for _, n := range views {
		n = min(n, len(payload))
		_ = data.Append(buffer.NewViewWithData(payload[:n]))
		payload = payload[n:]
	}
	if len(payload) > 0 {
		_ = data.Append(buffer.NewViewWithData(payload))
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: p.transport + transport + 10, Payload: data})
	if transport > 0 {
		copy(pkt.TransportHeader().Push(transport), b[p.transport:])
		pkt.TransportProtocolNumber = header.TCPProtocolNumber
	}
	copy(pkt.NetworkHeader().Push(p.transport), b)
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	if p.v6 {
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
	}
	return pkt
}
