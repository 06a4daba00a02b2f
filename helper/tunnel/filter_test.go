// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

var (
	laptop4 = netip.MustParseAddr("198.19.0.1")
	laptop6 = netip.MustParseAddr("fd5a::1")
	pod4    = netip.MustParseAddr("10.244.0.7")
	pod6    = netip.MustParseAddr("fd00:10::7")
	other4  = netip.MustParseAddr("10.244.0.8")
	noon    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// fragmentation says which part of a fragmented packet to build.
type fragmentation struct {
	offset int // in units of 8 bytes
	more   bool
	id     uint32
}

// build makes an IP packet; of IPv6 with a fragment header if f is given.
func build(source, destination netip.Addr, protocol uint8, transport []byte, f *fragmentation) []byte {
	if source.Is4() {
		b := make([]byte, 20)
		b[0], b[9] = 0x45, protocol
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(transport)))
		if f != nil {
			binary.BigEndian.PutUint16(b[4:], uint16(f.id))
			flags := uint16(f.offset)
			if f.more {
				flags |= 0x2000
			}
			binary.BigEndian.PutUint16(b[6:], flags)
		}
		copy(b[12:], source.AsSlice())
		copy(b[16:], destination.AsSlice())
		return append(b, transport...)
	}
	b := make([]byte, 40)
	b[0], b[6] = 0x60, protocol
	copy(b[8:], source.AsSlice())
	copy(b[24:], destination.AsSlice())
	if f != nil {
		header := make([]byte, 8)
		b[6], header[0] = protocolFragment, protocol
		flags := uint16(f.offset) << 3
		if f.more {
			flags |= 1
		}
		binary.BigEndian.PutUint16(header[2:], flags)
		binary.BigEndian.PutUint32(header[4:], f.id)
		b = append(b, header...)
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40+len(transport)))
	return append(b, transport...)
}

func tcp(source, destination uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, source)
	binary.BigEndian.PutUint16(b[2:], destination)
	b[12], b[13] = 0x50, flags
	return b
}

func udp(source, destination uint16) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b, source)
	binary.BigEndian.PutUint16(b[2:], destination)
	return b
}

func icmp(kind byte, id uint16, rest ...byte) []byte {
	b := make([]byte, 8)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	return append(b, rest...)
}

const syn, ack, rst = 0x02, 0x10, 0x04

func TestFilter(t *testing.T) {
	out := func(b ...[]byte) [][]byte { return b }
	for _, test := range []struct {
		name string
		out  [][]byte // what the laptop sent before
		in   []byte
		want bool
	}{
		{"TCP reply", nil, build(pod4, laptop4, protocolTCP, tcp(80, 4000, syn|ack), nil), true},
		{"TCP data", nil, build(pod6, laptop6, protocolTCP, tcp(80, 4000, ack), nil), true},
		{"TCP reset", nil, build(pod4, laptop4, protocolTCP, tcp(80, 4000, rst), nil), true},
		{"new TCP connection", nil, build(pod4, laptop4, protocolTCP, tcp(4000, 22, syn), nil), false},
		{"new TCP connection, odd flags", nil, build(pod4, laptop4, protocolTCP, tcp(4000, 22, syn|0xC8), nil), false},
		{"new TCP connection to an open port", nil, build(pod4, laptop4, protocolTCP, tcp(4000, 8080, syn), nil), true},
		{"new TCP connection over IPv6", nil, build(pod6, laptop6, protocolTCP, tcp(4000, 22, syn), nil), false},
		{"TCP in fragments", nil, build(pod4, laptop4, protocolTCP, tcp(80, 4000, ack), &fragmentation{more: true}), false},
		{"short TCP", nil, build(pod4, laptop4, protocolTCP, tcp(80, 22, ack)[:8], nil), false},

		{"UDP nobody asked for", nil, build(pod4, laptop4, protocolUDP, udp(53, 4000), nil), false},
		{"UDP answer", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(pod4, laptop4, protocolUDP, udp(53, 4000), nil), true},
		{"UDP answer over IPv6", out(build(laptop6, pod6, protocolUDP, udp(4000, 53), nil)),
			build(pod6, laptop6, protocolUDP, udp(53, 4000), nil), true},
		{"UDP from another port", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(pod4, laptop4, protocolUDP, udp(54, 4000), nil), false},
		{"UDP from another host", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(other4, laptop4, protocolUDP, udp(53, 4000), nil), false},
		{"UDP to another port", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(pod4, laptop4, protocolUDP, udp(53, 4001), nil), false},
		{"UDP to an open TCP port", nil, build(pod4, laptop4, protocolUDP, udp(4000, 8080), nil), false},

		{"ping reply", out(build(laptop4, pod4, protocolICMP, icmp(8, 7), nil)),
			build(pod4, laptop4, protocolICMP, icmp(0, 7), nil), true},
		{"ping reply over IPv6", out(build(laptop6, pod6, protocolICMPv6, icmp(128, 7), nil)),
			build(pod6, laptop6, protocolICMPv6, icmp(129, 7), nil), true},
		{"ping reply of another", out(build(laptop4, pod4, protocolICMP, icmp(8, 7), nil)),
			build(pod4, laptop4, protocolICMP, icmp(0, 8), nil), false},
		{"ping", nil, build(pod4, laptop4, protocolICMP, icmp(8, 7), nil), false},
		{"ping over IPv6", nil, build(pod6, laptop6, protocolICMPv6, icmp(128, 7), nil), false},
		{"redirect", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(pod4, laptop4, protocolICMP, icmp(5, 0, build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)...), nil), false},
		{"router advertisement", nil, build(pod6, laptop6, protocolICMPv6, icmp(134, 0), nil), false},

		{"port unreachable", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(other4, laptop4, protocolICMP, icmp(3, 0, build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)...), nil), true},
		{"packet too big", nil,
			build(pod6, laptop6, protocolICMPv6, icmp(2, 0, build(laptop6, pod6, protocolTCP, tcp(4000, 80, ack), nil)...), nil), true},
		{"time exceeded for a ping", out(build(laptop4, pod4, protocolICMP, icmp(8, 7), nil)),
			build(other4, laptop4, protocolICMP, icmp(11, 0, build(laptop4, pod4, protocolICMP, icmp(8, 7), nil)...), nil), true},
		{"error about nothing we sent", nil,
			build(pod4, laptop4, protocolICMP, icmp(3, 0, build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)...), nil), false},
		{"error about a packet of another", nil,
			build(pod4, laptop4, protocolICMP, icmp(3, 0, build(other4, pod4, protocolTCP, tcp(4000, 80, ack), nil)...), nil), false},
		{"error without a packet", nil, build(pod4, laptop4, protocolICMP, icmp(3, 0), nil), false},

		{"first fragment of an answer", out(build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)),
			build(pod4, laptop4, protocolUDP, udp(53, 4000), &fragmentation{more: true, id: 5}), true},
		{"first fragment nobody asked for", nil,
			build(pod4, laptop4, protocolUDP, udp(53, 4000), &fragmentation{more: true, id: 5}), false},
		{"later fragment alone", nil, build(pod4, laptop4, protocolUDP, udp(53, 4000), &fragmentation{offset: 9, id: 5}), false},

		{"to an address that is not the tunnel's", nil,
			build(pod4, netip.MustParseAddr("192.168.1.20"), protocolTCP, tcp(80, 4000, ack), nil), false},
		{"SCTP", nil, build(pod4, laptop4, 132, make([]byte, 12), nil), false},
		{"IPv6 with routing header", nil, build(pod6, laptop6, 43, make([]byte, 40), nil), false},
		{"nothing", nil, nil, false},
		{"garbage", nil, []byte{0x45, 1, 2}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFilter([]netip.Addr{laptop4, laptop6}, []uint16{8080})
			for _, b := range test.out {
				f.outbound(noon, b)
			}
			if got := f.inbound(noon.Add(time.Second), test.in); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if dropped := f.dropped.Load() == 1; dropped == test.want {
				t.Errorf("counted as dropped: %v", dropped)
			}
		})
	}
}

func TestFilterFragments(t *testing.T) {
	for _, pair := range [][2]netip.Addr{{laptop4, pod4}, {laptop6, pod6}} {
		f := newFilter([]netip.Addr{laptop4, laptop6}, nil)
		f.outbound(noon, build(pair[0], pair[1], protocolUDP, udp(4000, 53), nil))
		fragment := func(offset int, more bool, id uint32) []byte {
			return build(pair[1], pair[0], protocolUDP, udp(53, 4000), &fragmentation{offset, more, id})
		}
		for i, test := range []struct {
			packet []byte
			want   bool
		}{
			{fragment(10, true, 1), false}, {fragment(0, true, 1), true}, {fragment(10, true, 1), true},
			{fragment(20, false, 1), true}, {fragment(10, true, 2), false},
		} {
			if got := f.inbound(noon, test.packet); got != test.want {
				t.Errorf("%s, fragment %d: %v, want %v", pair[1], i, got, test.want)
			}
		}
	}
}

func TestFilterForgets(t *testing.T) {
	f := newFilter([]netip.Addr{laptop4}, nil)
	answer := build(pod4, laptop4, protocolUDP, udp(53, 4000), nil)
	f.outbound(noon, build(laptop4, pod4, protocolUDP, udp(4000, 53), nil))
	now := noon
	for range 10 { // answers keep the flow open
		now = now.Add(flowLifetime - time.Second)
		if !f.inbound(now, answer) {
			t.Fatalf("the flow is closed after %s", now.Sub(noon))
		}
	}
	if now = now.Add(2*flowLifetime + time.Second); f.inbound(now, answer) {
		t.Error("the flow is open long after its last packet")
	}
}

func TestFilterBounded(t *testing.T) {
	f := newFilter([]netip.Addr{laptop4}, nil)
	for i := range 10 * maxFlows {
		b := build(laptop4, pod4, protocolUDP, udp(uint16(i), uint16(i>>16)), nil)
		f.outbound(noon, b)
	}
	if n := len(f.flows.young) + len(f.flows.old); n > 2*maxFlows {
		t.Errorf("%d flows are remembered", n)
	}
	last := 10*maxFlows - 1
	if !f.inbound(noon, build(pod4, laptop4, protocolUDP, udp(uint16(last>>16), uint16(last)), nil)) {
		t.Error("the newest flow is forgotten")
	}
}

func TestFilterReconfigured(t *testing.T) {
	f := newFilter([]netip.Addr{laptop4}, nil)
	connect := build(pod4, laptop4, protocolTCP, tcp(4000, 9000, syn), nil)
	if f.inbound(noon, connect) {
		t.Error("a port that is not open")
	}
	f.configure([]netip.Addr{laptop4}, []uint16{9000})
	if !f.inbound(noon, connect) {
		t.Error("a port that was opened")
	}
	f.configure([]netip.Addr{laptop6}, []uint16{9000})
	if f.inbound(noon, connect) {
		t.Error("an address that is not the laptop's any more")
	}
}

// FuzzFilter feeds anything to the filter, as sent and as received: it must not panic, and nothing that asks for
// a new connection gets in.
func FuzzFilter(f *testing.F) {
	f.Add(build(pod4, laptop4, protocolTCP, tcp(80, 4000, syn), nil))
	f.Add(build(pod6, laptop6, protocolTCP, tcp(80, 4000, syn|ack), nil))
	f.Add(build(pod4, laptop4, protocolUDP, udp(53, 4000), &fragmentation{offset: 1, more: true, id: 9}))
	f.Add(build(pod6, laptop6, protocolUDP, udp(53, 4000), &fragmentation{more: true, id: 9}))
	f.Add(build(pod4, laptop4, protocolICMP, icmp(3, 0, build(laptop4, pod4, protocolUDP, udp(4000, 53), nil)...), nil))
	f.Add([]byte{0x4F})
	f.Fuzz(func(t *testing.T, b []byte) {
		filter := newFilter([]netip.Addr{laptop4, laptop6}, []uint16{8080})
		filter.outbound(noon, b)
		if !filter.inbound(noon, b) {
			return
		}
		p, ok := parsePacket(b)
		if !ok {
			t.Fatal("what is no packet got in")
		}
		if p.protocol == protocolTCP && p.transport[13]&(syn|ack) == syn && binary.BigEndian.Uint16(p.transport[2:]) != 8080 {
			t.Fatal("a new connection got in")
		}
	})
}

func BenchmarkFilterInbound(b *testing.B) {
	f := newFilter([]netip.Addr{laptop4, laptop6}, nil)
	f.outbound(noon, build(laptop4, pod4, protocolUDP, udp(4000, 53), nil))
	for name, packet := range map[string][]byte{
		"tcp": build(pod4, laptop4, protocolTCP, append(tcp(80, 4000, ack), make([]byte, 1300)...), nil),
		"udp": build(pod4, laptop4, protocolUDP, append(udp(53, 4000), make([]byte, 1300)...), nil),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f.inbound(noon, packet)
			}
		})
	}
}
