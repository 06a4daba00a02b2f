// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// mergeFlows is how many TCP flows of one batch are merged at a time; batches have at most 128 packets.
	mergeFlows = 16
	// mergeMax is the largest merged packet in bytes: what the length field of IPv4 can say.
	mergeMax = 65535
)

// merger joins the TCP segments of one batch that follow each other in their flow into large packets, as a network
// card does (generic receive offload), so that the stack above handles one packet instead of forty.
//
// It keeps the order of each flow's packets; nothing stays in it after flush. It refers to the batch's bytes until
// they are emitted, and it expects packets whose checksums have been verified: those of a merged packet are not valid.
type merger struct {
	runs []run
	emit func(v6 bool, v *buffer.View)
}

// run is what has been merged of one flow.
type run struct {
	head     packet // the first packet; its header becomes the merged one's
	tcpLen   int
	nextSeq  uint32
	size     int // of the merged packet in bytes
	payloads [][]byte
	flags    byte
	window   [2]byte
}

// add takes one TCP packet. It reports false for a packet whose TCP header is malformed, which it drops.
func (m *merger) add(p *packet) bool {
	segment := p.payload()
	if len(segment) < header.TCPMinimumSize {
		return false
	}
	tcpLen := int(segment[12]>>4) * 4
	if tcpLen < header.TCPMinimumSize || tcpLen > len(segment) {
		return false
	}
	index := m.find(p)
	if index >= 0 && m.runs[index].extend(p, tcpLen) {
		if ends(segment[13], len(segment)-tcpLen, &m.runs[index]) {
			m.finish(index)
		}
		return true
	}
	if index >= 0 {
		m.finish(index)
	}
	if !mergeable(p, segment, tcpLen) {
		m.emit(p.v6, buffer.NewViewWithData(p.bytes))
		return true
	}
	if len(m.runs) == mergeFlows {
		m.finish(0)
	}
	m.start(p, tcpLen)
	return true
}

// flush emits all that is left, in the order in which the flows began.
func (m *merger) flush() {
	for len(m.runs) > 0 {
		m.finish(0)
	}
}

// find returns the run that the packet's flow has, or -1.
func (m *merger) find(p *packet) int {
	for i := range m.runs {
		head := &m.runs[i].head
		if head.v6 == p.v6 &&
			bytes.Equal(head.addresses(), p.addresses()) &&
			bytes.Equal(head.payload()[:4], p.payload()[:4]) { // ports
			return i
		}
	}
	return -1
}

// mergeable reports whether a packet may begin a run: data, nothing unusual, and not the end of a message already.
func mergeable(p *packet, segment []byte, tcpLen int) bool {
	const plain = header.TCPFlagAck
	return header.TCPFlags(segment[13])&^header.TCPFlagPsh == plain &&
		header.TCPFlags(segment[13])&header.TCPFlagPsh == 0 &&
		len(segment) > tcpLen &&
		(p.v6 || p.transport == header.IPv4MinimumSize)
}

func (m *merger) start(p *packet, tcpLen int) {
	if len(m.runs) < cap(m.runs) {
		m.runs = m.runs[:len(m.runs)+1]
	} else {
		m.runs = append(m.runs, run{})
	}
	r := &m.runs[len(m.runs)-1]
	segment := p.payload()
	*r = run{
		head:     *p,
		tcpLen:   tcpLen,
		nextSeq:  binary.BigEndian.Uint32(segment[4:]) + uint32(len(segment)-tcpLen),
		size:     len(p.bytes),
		payloads: r.payloads[:0],
		flags:    segment[13],
		window:   [2]byte(segment[14:16]),
	}
}

// extend appends the packet's data to the run if it continues it in every respect.
func (r *run) extend(p *packet, tcpLen int) bool {
	segment, head := p.payload(), r.head.payload()
	data := segment[tcpLen:]
	const ending = byte(header.TCPFlagPsh | header.TCPFlagFin)
	if len(data) == 0 || tcpLen != r.tcpLen || p.transport != r.head.transport ||
		r.size+len(data) > mergeMax ||
		binary.BigEndian.Uint32(segment[4:]) != r.nextSeq ||
		segment[13]&^ending != r.flags&^ending ||
		!bytes.Equal(segment[8:12], head[8:12]) || // acknowledgment
		!bytes.Equal(segment[20:tcpLen], head[20:r.tcpLen]) || // options
		p.bytes[1] != r.head.bytes[1] || p.v6 && p.bytes[0] != r.head.bytes[0] { // traffic class
		return false
	}
	r.payloads = append(r.payloads, data)
	r.nextSeq += uint32(len(data))
	r.size += len(data)
	r.flags |= segment[13]
	r.window = [2]byte(segment[14:16])
	return true
}

// ends reports whether a segment just appended is the last of its run: it closes a message, or it is shorter than
// those before.
func ends(flags byte, size int, r *run) bool {
	first := len(r.head.payload()) - r.tcpLen
	return flags&byte(header.TCPFlagPsh|header.TCPFlagFin) != 0 || size < first
}

// finish emits a run and forgets it.
func (m *merger) finish(index int) {
	r := m.runs[index]
	v := buffer.NewView(r.size)
	_, _ = v.Write(r.head.bytes) // a View grows as needed: no error
	for _, data := range r.payloads {
		_, _ = v.Write(data)
	}
	b := v.AsSlice()
	if r.head.v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(r.size-header.IPv6MinimumSize))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(r.size))
	}
	tcp := b[r.head.transport:]
	tcp[13] = r.flags
	copy(tcp[14:16], r.window[:])

	// Keep the slice of payloads of the run that goes, for the next one.
	spare := r.payloads
	for i := range spare {
		spare[i] = nil
	}
	copy(m.runs[index:], m.runs[index+1:])
	m.runs[len(m.runs)-1] = run{payloads: spare[:0]}
	m.runs = m.runs[:len(m.runs)-1]
	m.emit(r.head.v6, v)
}
