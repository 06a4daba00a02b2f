// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// cutAll hands a packet out at an MTU.
func cutAll(t testing.TB, pkt *stack.PacketBuffer, mtu int) [][]byte {
	t.Helper()
	var c cutter
	c.load(pkt, 77)
	var out [][]byte
	for c.loaded() {
		dst := make([]byte, mtu)
		n := c.next(dst, mtu)
		if n == 0 {
			return out
		}
		out = append(out, dst[:n])
	}
	return out
}

func TestCutSegments(t *testing.T) {
	data := bytesOf(20000)
	for _, v6 := range []bool{false, true} {
		for _, mss := range []int{0, 500, 1240, 65000} {
			for _, partial := range []bool{false, true} {
				for _, views := range [][]int{nil, {1}, {100, 3000, 1}} {
					t.Run(fmt.Sprint(v6, mss, partial, views), func(t *testing.T) {
						s := segment{srcPort: 80, dstPort: 1, seq: 0xfffffff0, ack: 9, flags: flagAck | flagPsh | flagFin | tcpFlagCWR, options: []byte{1, 1, 1, 1}, payload: data}
						if v6 {
							s.src, s.dst = target6, laptop6
						}
						pkt := outgoing(t, s.packet(), views...)
						if mss > 0 || partial {
							pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: partial, MSS: uint16(max(mss, 65000))}
							if mss > 0 {
								pkt.GSOOptions.MSS = uint16(mss)
							}
						}
						checkSegments(t, cutAll(t, pkt, 1280), s, mss)
					})
				}
			}
		}
	}
}

// checkSegments checks that segments are sound one by one and together are the original.
func checkSegments(t *testing.T, out [][]byte, s segment, mss int) {
	t.Helper()
	var got []byte
	ids := map[uint16]bool{}
	for i, b := range out {
		p, ok := parsePacket(b)
		if !ok || len(p.bytes) != len(b) || !p.ipHeaderValid() || !p.transportChecksumValid() {
			t.Fatalf("segment %d is not sound", i)
		}
		tcp := p.payload()
		if seq := binary.BigEndian.Uint32(tcp[4:]); seq != s.seq+uint32(len(got)) {
			t.Fatalf("segment %d has sequence %d", i, seq)
		}
		last := i == len(out)-1
		want := s.flags
		if !last {
			want &^= flagPsh | flagFin
		}
		if i > 0 {
			want &^= tcpFlagCWR
		}
		if tcp[13] != want {
			t.Errorf("segment %d has flags %02x, want %02x", i, tcp[13], want)
		}
		payload := tcp[24:]
		if mss > 0 && len(payload) > mss {
			t.Errorf("segment %d has %d bytes, more than the receiver's %d", i, len(payload), mss)
		}
		got = append(got, payload...)
		if !p.v6 {
			ids[binary.BigEndian.Uint16(b[4:])] = true
		}
	}
	if !bytes.Equal(got, s.payload) {
		t.Error("the data have changed")
	}
	if len(ids) > 0 && len(ids) != len(out) {
		t.Errorf("%d segments with %d identifications", len(out), len(ids))
	}
}

func TestCutLeavesAloneWhatFits(t *testing.T) {
	for _, b := range [][]byte{
		segment{flags: flagAck, payload: bytesOf(1240)}.packet(),
		ipPacket(target6, laptop6, protocolUDP, bytesOf(1240)),
		ipPacket(target4, laptop4, protocolICMP, bytesOf(8)),
	} {
		out := cutAll(t, outgoing(t, b), 1280)
		if len(out) != 1 || !bytes.Equal(out[0], b) {
			t.Errorf("a packet of %d bytes became %d packets, or changed", len(b), len(out))
		}
	}
}

func TestCutFragments(t *testing.T) {
	data := bytesOf(5000)
	t.Run("IPv4", func(t *testing.T) {
		out := cutAll(t, outgoing(t, ipPacket(target4, laptop4, protocolUDP, data)), 1280)
		got := make([]byte, 0, len(data))
		for i, b := range out {
			p, ok := parsePacket(b)
			field := binary.BigEndian.Uint16(b[6:])
			if !ok || len(p.bytes) != len(b) || !p.ipHeaderValid() || !p.fragment || len(b) > 1280 ||
				int(field&0x1fff)*8 != len(got) || field&0x2000 != 0 != (i < len(out)-1) || binary.BigEndian.Uint16(b[4:]) != 77 {
				t.Fatalf("fragment %d of %d is not sound: % x", i, len(out), b[:20])
			}
			got = append(got, p.payload()...)
		}
		if !bytes.Equal(got, data) || len(out) != 4 {
			t.Errorf("%d fragments with %d bytes", len(out), len(got))
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		out := cutAll(t, outgoing(t, ipPacket(target6, laptop6, protocolUDP, data)), 1280)
		got := make([]byte, 0, len(data))
		for i, b := range out {
			p, ok := parsePacket(b)
			if !ok || len(p.bytes) != len(b) || p.protocol != 44 || len(b) > 1280 {
				t.Fatalf("fragment %d of %d is not sound", i, len(out))
			}
			f := p.payload()
			field := binary.BigEndian.Uint16(f[2:])
			if f[0] != protocolUDP || int(field&^7) != len(got) || field&1 != 0 != (i < len(out)-1) || binary.BigEndian.Uint32(f[4:]) != 77 {
				t.Fatalf("fragment header %d of %d is not sound: % x", i, len(out), f[:8])
			}
			got = append(got, f[8:]...)
		}
		if !bytes.Equal(got, data) || len(out) != 5 {
			t.Errorf("%d fragments with %d bytes", len(out), len(got))
		}
	})
}

// The MTU may change while a packet is being handed out: its carrier has changed.
func TestCutWithChangingMTU(t *testing.T) {
	s := segment{flags: flagAck, options: []byte{1, 1, 1, 1}, payload: bytesOf(40000)}
	var c cutter
	c.load(outgoing(t, s.packet()), 1)
	var out [][]byte
	for i := 0; c.loaded(); i++ {
		mtu := []int{1280, 16384, 1424}[i%3]
		dst := make([]byte, mtu)
		out = append(out, dst[:c.next(dst, mtu)])
	}
	checkSegments(t, out, s, 0)
}

// Whatever the packet and the MTU, cutting ends, and TCP data come out as they went in.
func FuzzCut(f *testing.F) {
	f.Add([]byte("payload"), 41, 0, true)
	f.Add(bytesOf(5000), 1280, 536, false)
	f.Add(bytesOf(100), 10, 1, false)
	f.Fuzz(func(t *testing.T, payload []byte, mtu, mss int, v6 bool) {
		mtu = min(max(mtu, 1), 65535)
		s := segment{flags: flagAck, payload: payload[:min(len(payload), 60000)]}
		if v6 {
			s.src, s.dst = target6, laptop6
		}
		pkt := outgoing(t, s.packet())
		pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv6, NeedsCsum: true, MSS: uint16(mss)}
		var got int
		for _, b := range cutAll(t, pkt, mtu) {
			p, ok := parsePacket(b)
			if !ok || !p.transportChecksumValid() {
				t.Fatal("a segment is not sound")
			}
			got += len(p.payload()) - 20
		}
		headers := 40
		if v6 {
			headers = 60
		}
		if mtu > headers && got != len(s.payload) {
			t.Errorf("%d of %d bytes came out", got, len(s.payload))
		}
	})
}
