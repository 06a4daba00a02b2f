// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// outgoingTCP makes a packet of a segment as gVisor hands it to the link.
func outgoingTCP(t *testing.T, s segment) *stack.PacketBuffer {
	t.Helper()
	s.src, s.dst = target4, laptop4
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(s.packet())})
	pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = header.IPv4ProtocolNumber, header.TCPProtocolNumber
	if _, ok := pkt.NetworkHeader().Consume(header.IPv4MinimumSize); !ok {
		t.Fatal("no IP header")
	}
	if _, ok := pkt.TransportHeader().Consume(header.TCPMinimumSize + len(s.options)); !ok {
		t.Fatal("no TCP header")
	}
	return pkt
}

// An acknowledgement of a small request waits for the answer; everything else goes at once, and nothing is forgotten.
func TestSmallAcknowledgementsWait(t *testing.T) {
	syn := segment{flags: flagSyn | flagAck, ack: 1000}
	ack := func(n uint32) segment { return segment{flags: flagAck, ack: n} }
	data := func(n uint32) segment { return segment{flags: flagAck | flagPsh, ack: n, payload: []byte("answer")} }
	sack := segment{flags: flagAck, ack: 1100, options: make([]byte, 24)}
	other := segment{srcPort: 7, flags: flagAck, ack: 1100}
	for name, test := range map[string]struct {
		segments []segment
		held     []bool // of each segment
		released []uint32
	}{
		"alone":                       {[]segment{syn, ack(1100)}, []bool{false, true}, []uint32{1100}},
		"the answer takes it along":   {[]segment{syn, ack(1100), data(1100)}, []bool{false, true, false}, nil},
		"the next answer too":         {[]segment{syn, ack(1100), data(1100), ack(1200), data(1200)}, []bool{false, true, false, true, false}, nil},
		"a second one goes":           {[]segment{syn, ack(1100), ack(1200)}, []bool{false, true, false}, nil},
		"and the third waits again":   {[]segment{syn, ack(1100), ack(1200), ack(1300)}, []bool{false, true, false, true}, []uint32{1300}},
		"of much data":                {[]segment{syn, ack(1000 + ackAtOnce)}, []bool{false, false}, nil},
		"of nothing new":              {[]segment{syn, ack(1000)}, []bool{false, false}, nil},
		"selective":                   {[]segment{syn, sack}, []bool{false, false}, nil},
		"of a connection not known":   {[]segment{ack(1100)}, []bool{false}, nil},
		"another connection's answer": {[]segment{syn, ack(1100), other}, []bool{false, true, false}, []uint32{1100}},
		"the end takes it along":      {[]segment{syn, ack(1100), {flags: flagAck | flagFin, ack: 1100}}, []bool{false, true, false}, nil},
		"after the end none waits":    {[]segment{syn, {flags: flagAck | flagFin, ack: 1000}, ack(1100)}, []bool{false, false, false}, nil},
		"over the end of numbers":     {[]segment{{flags: flagSyn | flagAck, ack: 0xfffffff0}, ack(10)}, []bool{false, true}, []uint32{10}},
	} {
		t.Run(name, func(t *testing.T) {
			var d delayedAcks
			for i, s := range test.segments {
				pkt := outgoingTCP(t, s)
				if held := d.hold(pkt); held != test.held[i] {
					t.Errorf("segment %d: held %t", i, held)
				}
				pkt.DecRef()
			}
			var released []uint32
			for _, pkt := range d.release() {
				released = append(released, header.TCP(pkt.TransportHeader().Slice()).AckNumber())
				pkt.DecRef()
			}
			if len(released) != len(test.released) || len(released) > 0 && released[0] != test.released[0] {
				t.Errorf("released %v, want %v", released, test.released)
			}
			if more := d.release(); len(more) > 0 {
				t.Errorf("released again: %d", len(more))
			}
		})
	}
}

// What has been held back leaves by itself.
func TestHeldAcknowledgementsLeave(t *testing.T) {
	queued := make(chan struct{}, 2)
	l := newLink(func() { queued <- struct{}{} })
	defer l.Close()
	for _, s := range []segment{{flags: flagSyn | flagAck, ack: 1000}, {flags: flagAck, ack: 1100}} {
		pkt := outgoingTCP(t, s)
		if !l.push(pkt, true) {
			t.Fatal("dropped")
		}
		pkt.DecRef()
		if s.flags&flagSyn != 0 {
			<-queued
			l.pop().DecRef()
		}
	}
	<-queued // by the timer
	pkt := l.pop()
	if got := header.TCP(pkt.TransportHeader().Slice()).AckNumber(); got != 1100 {
		t.Errorf("acknowledges %d", got)
	}
	pkt.DecRef()
}
