// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
)

// mergeAll runs a batch through a merger and returns what comes out, as bytes.
func mergeAll(packets ...[]byte) (out [][]byte, malformed int) {
	m := merger{emit: func(_ bool, v *buffer.View) { out = append(out, bytes.Clone(v.AsSlice())) }}
	for _, b := range packets {
		p, ok := parsePacket(b)
		if !ok || p.protocol != protocolTCP || !m.add(&p) {
			malformed++
		}
	}
	m.flush()
	return out, malformed
}

// describe writes packets as port:seq+length/flags.
func describe(packets [][]byte) string {
	var lines []string
	for _, b := range packets {
		p, ok := parsePacket(b)
		if !ok {
			lines = append(lines, "broken")
			continue
		}
		tcp := p.payload()
		size := len(tcp) - int(tcp[12]>>4)*4
		lines = append(lines, fmt.Sprintf("%d:%d+%d/%02x", binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint32(tcp[4:]), size, tcp[13]))
	}
	return strings.Join(lines, " ")
}

func TestMerge(t *testing.T) {
	data := func(port uint16, seq uint32, size int, flags byte) []byte {
		return segment{srcPort: port, dstPort: 80, seq: seq, ack: 5, flags: flagAck | flags, payload: bytesOf(size)}.packet()
	}
	options := func(seq uint32, timestamp byte) []byte {
		return segment{srcPort: 1, dstPort: 80, seq: seq, flags: flagAck, options: []byte{1, 1, 1, timestamp}, payload: bytesOf(100)}.packet()
	}
	tests := map[string]struct {
		in   [][]byte
		want string
	}{
		"one":                    {[][]byte{data(1, 0, 100, 0)}, "1:0+100/10"},
		"a train":                {[][]byte{data(1, 0, 100, 0), data(1, 100, 100, 0), data(1, 200, 100, 0)}, "1:0+300/10"},
		"a shorter one ends it":  {[][]byte{data(1, 0, 100, 0), data(1, 100, 50, 0), data(1, 150, 100, 0)}, "1:0+150/10 1:150+100/10"},
		"push ends it":           {[][]byte{data(1, 0, 100, 0), data(1, 100, 100, flagPsh), data(1, 200, 100, 0)}, "1:0+200/18 1:200+100/10"},
		"push alone":             {[][]byte{data(1, 0, 100, flagPsh), data(1, 100, 100, 0)}, "1:0+100/18 1:100+100/10"},
		"end of stream":          {[][]byte{data(1, 0, 100, 0), data(1, 100, 100, flagFin)}, "1:0+200/11"},
		"a gap":                  {[][]byte{data(1, 0, 100, 0), data(1, 200, 100, 0), data(1, 300, 100, 0)}, "1:0+100/10 1:200+200/10"},
		"sent again":             {[][]byte{data(1, 0, 100, 0), data(1, 0, 100, 0)}, "1:0+100/10 1:0+100/10"},
		"two flows":              {[][]byte{data(1, 0, 100, 0), data(2, 0, 100, 0), data(1, 100, 100, 0), data(2, 100, 100, 0)}, "1:0+200/10 2:0+200/10"},
		"an acknowledgment":      {[][]byte{data(1, 0, 100, 0), data(1, 100, 0, 0), data(1, 100, 100, 0)}, "1:0+100/10 1:100+0/10 1:100+100/10"},
		"a reset":                {[][]byte{data(1, 0, 100, 0), data(1, 100, 0, flagRst)}, "1:0+100/10 1:100+0/14"},
		"a SYN":                  {[][]byte{data(1, 0, 10, flagSyn), data(1, 11, 100, 0)}, "1:0+10/12 1:11+100/10"},
		"sequence numbers wrap":  {[][]byte{data(1, 0xffffffff, 100, 0), data(1, 99, 100, 0)}, "1:4294967295+200/10"},
		"same options":           {[][]byte{options(0, 7), options(100, 7)}, "1:0+200/10"},
		"different options":      {[][]byte{options(0, 7), options(100, 8)}, "1:0+100/10 1:100+100/10"},
		"not larger than IP can": {slices.Repeat([][]byte{data(1, 0, 100, 0)}, 0), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, malformed := mergeAll(test.in...)
			if got := describe(out); got != test.want || malformed != 0 {
				t.Errorf("got  %s (%d malformed)\nwant %s", got, malformed, test.want)
			}
		})
	}
}

func TestMergeKeepsBytesAndBounds(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		var in [][]byte
		all := bytesOf(100 * 1400)
		for i := range 100 {
			s := segment{srcPort: 1, dstPort: 2, seq: uint32(i * 1400), flags: flagAck, payload: all[i*1400 : (i+1)*1400]}
			if v6 {
				s.src, s.dst = laptop6, target6
			}
			in = append(in, s.packet())
		}
		out, _ := mergeAll(in...)
		var got []byte
		for _, b := range out {
			p, ok := parsePacket(b)
			if !ok || len(p.bytes) != len(b) {
				t.Fatalf("a merged packet's length is wrong")
			}
			got = append(got, p.payload()[20:]...)
		}
		if !bytes.Equal(got, all) {
			t.Error("merging changed the data")
		}
		if len(out) != 3 {
			t.Errorf("140,000 bytes became %d packets, want 3", len(out))
		}
	}
}

func TestMergeManyFlows(t *testing.T) {
	var in [][]byte
	for round := range 2 {
		for port := range 2 * mergeFlows {
			in = append(in, segment{srcPort: uint16(port), seq: uint32(round * 100), flags: flagAck, payload: bytesOf(100)}.packet())
		}
	}
	out, _ := mergeAll(in...)
	next := map[uint16]uint32{}
	for _, b := range out {
		p, _ := parsePacket(b)
		port, seq := binary.BigEndian.Uint16(p.payload()), binary.BigEndian.Uint32(p.payload()[4:])
		if seq != next[port] {
			t.Errorf("port %d: sequence %d, want %d", port, seq, next[port])
		}
		next[port] = seq + uint32(len(p.payload())-20)
	}
	for port, seq := range next {
		if seq != 200 {
			t.Errorf("port %d: %d bytes, want 200", port, seq)
		}
	}
}

// Whatever packets come in, none makes the merger panic, and no flow's bytes change or change places.
func FuzzMerge(f *testing.F) {
	one := segment{srcPort: 1, dstPort: 2, seq: 0, flags: flagAck, payload: bytesOf(8)}.packet()
	two := segment{srcPort: 1, dstPort: 2, seq: 8, flags: flagAck | flagPsh, payload: bytesOf(8)}.packet()
	f.Add(one, two, []byte{0x45})
	f.Add(two, one, segment{src: laptop6, dst: target6, flags: flagAck, payload: bytesOf(3)}.packet())
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var want, got int
		for _, packet := range [][]byte{a, b, c} {
			if p, ok := parsePacket(packet); ok && p.protocol == protocolTCP && len(p.payload()) >= 20 {
				if n := int(p.payload()[12]>>4) * 4; n >= 20 && n <= len(p.payload()) {
					want += len(p.payload()) - n
				}
			}
		}
		out, _ := mergeAll(a, b, c)
		for _, packet := range out {
			p, ok := parsePacket(packet)
			if !ok {
				t.Fatal("emitted something that is no packet")
			}
			got += len(p.payload()) - int(p.payload()[12]>>4)*4
		}
		if got != want {
			t.Errorf("%d bytes of data went in, %d came out", want, got)
		}
	})
}

func FuzzParsePacket(f *testing.F) {
	f.Add(segment{flags: flagSyn}.packet())
	f.Add(segment{src: laptop6, dst: target6, flags: flagSyn}.packet())
	f.Add([]byte{0x60})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePacket(b)
		if ok {
			if p.src != SourceOf(b) || p.transport > len(p.bytes) || len(p.bytes) > len(b) {
				t.Errorf("%+v", p)
			}
			_ = p.payload()
			_ = p.transportChecksumValid()
		}
	})
}
