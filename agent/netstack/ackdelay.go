// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// ackDelay is how long an acknowledgement waits at most for data that it could go with. RFC 9293, section 3.8.6.3,
	// allows half a second; what answers a request at all does so sooner.
	ackDelay = 5 * time.Millisecond
	// ackAtOnce is how much newly received data is acknowledged without delay, in bytes: less than two segments of the
	// smallest MTU, as RFC 5681, section 4.2, wants it.
	ackAtOnce = 2048
	// ackFlows bounds how many connections are remembered; beyond that all are forgotten, which costs one
	// acknowledgement each.
	ackFlows = 32768
)

// delayedAcks holds back the acknowledgements of small requests until the answer takes them along. gVisor acknowledges
// everything at once, and an acknowledgement of its own costs the tunnel on the whole way as much as the answer does.
//
// The link's lock guards it. The zero value is ready.
type delayedAcks struct {
	flows map[ackFlow]*ackState
	held  []ackFlow // whose states may hold one
}

// ackFlow names a connection, as we send.
type ackFlow struct {
	target                 [16]byte
	targetPort, laptopPort uint16
}

type ackState struct {
	sent   uint32 // what was acknowledged last
	packet *stack.PacketBuffer
}

// hold takes a packet on its way to the laptop and reports whether it keeps it, with a reference of its own. A packet
// that goes takes along what was held of its connection.
func (d *delayedAcks) hold(pkt *stack.PacketBuffer) bool {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return false
	}
	tcp := header.TCP(pkt.TransportHeader().Slice())
	if len(tcp) < header.TCPMinimumSize {
		return false
	}
	flow, ok := ackFlowOf(pkt, tcp)
	if !ok {
		return false
	}
	state, flags := d.flows[flow], tcp.Flags()
	switch {
	case flags&(header.TCPFlagFin|header.TCPFlagRst) != 0:
		d.forget(flow, state)
		return false
	case flags&header.TCPFlagSyn != 0:
		d.remember(flow, tcp.AckNumber())
		return false
	case state == nil:
		return false
	}
	waiting := state.packet != nil
	state.drop()
	const timestamps = 12 // bytes of options; more is a selective acknowledgement, which is urgent
	fresh := tcp.AckNumber() - state.sent
	if flags == header.TCPFlagAck && pkt.Data().Size() == 0 && len(tcp) <= header.TCPMinimumSize+timestamps &&
		!waiting && fresh > 0 && fresh < ackAtOnce {
		state.packet = pkt.IncRef()
		d.held = append(d.held, flow)
		return true
	}
	state.sent = tcp.AckNumber()
	return false
}

// ackFlowOf reads which connection a packet belongs to.
func ackFlowOf(pkt *stack.PacketBuffer, tcp header.TCP) (ackFlow, bool) {
	flow := ackFlow{targetPort: tcp.SourcePort(), laptopPort: tcp.DestinationPort()}
	ip := pkt.NetworkHeader().Slice()
	switch {
	case pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber && len(ip) >= header.IPv4MinimumSize:
		copy(flow.target[:4], ip[12:16])
	case pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber && len(ip) >= header.IPv6MinimumSize:
		copy(flow.target[:], ip[8:24])
	default:
		return ackFlow{}, false
	}
	return flow, true
}

// release returns what is held, with its references, and holds nothing any more.
func (d *delayedAcks) release() []*stack.PacketBuffer {
	var released []*stack.PacketBuffer
	for _, flow := range d.held {
		state := d.flows[flow]
		if state == nil || state.packet == nil {
			continue
		}
		state.sent = header.TCP(state.packet.TransportHeader().Slice()).AckNumber()
		released = append(released, state.packet)
		state.packet = nil
	}
	d.held = d.held[:0]
	return released
}

func (d *delayedAcks) remember(flow ackFlow, sent uint32) {
	if len(d.flows) >= ackFlows {
		d.clear()
	}
	if d.flows == nil {
		d.flows = map[ackFlow]*ackState{}
	}
	if state := d.flows[flow]; state != nil {
		state.drop()
	}
	d.flows[flow] = &ackState{sent: sent}
}

func (d *delayedAcks) forget(flow ackFlow, state *ackState) {
	if state != nil {
		state.drop()
		delete(d.flows, flow)
	}
}

// clear forgets everything. What was held is lost, as any packet may be.
func (d *delayedAcks) clear() {
	for _, state := range d.flows {
		state.drop()
	}
	d.flows, d.held = nil, nil
}

func (s *ackState) drop() {
	if s.packet != nil {
		s.packet.DecRef()
		s.packet = nil
	}
}
