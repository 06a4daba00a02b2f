// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// tcpFlows are the TCP connections of a stack. A connection is accepted only once its target has been: a refused one
// stays refused.
type tcpFlows struct {
	s         *Stack
	forwarder *tcp.Forwarder

	mu      sync.Mutex
	pending map[stack.TransportEndpointID]uint32 // being made; the sequence number of the SYN
	flows   map[*tcpFlow]struct{}
	closed  bool
}

func (t *tcpFlows) install(s *Stack) {
	t.s = s
	t.pending = map[stack.TransportEndpointID]uint32{}
	t.flows = map[*tcpFlow]struct{}{}
	// Our own count of pending connections is the one that decides.
	t.forwarder = tcp.NewForwarder(s.stack, receiveBufferDefault, 2*s.limits.PendingDials, t.accept)
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, t.handle)
}

func (t *tcpFlows) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flows)
}

// handle takes a segment that belongs to no connection. It returns false to have it answered with a reset.
func (t *tcpFlows) handle(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	segment := header.TCP(pkt.TransportHeader().Slice())
	if len(segment) < header.TCPMinimumSize {
		return true
	}
	flags := segment.Flags()
	if !flags.Contains(header.TCPFlagSyn) || flags.Contains(header.TCPFlagAck) {
		return false
	}
	dst := fromTCPIP(id.LocalAddress)
	if t.s.gatewayAddress(dst) {
		if id.LocalPort != dnsPort || t.s.config.DNS == nil {
			return false
		}
	} else if _, err := t.s.target(dst); err != nil {
		t.s.counters.refused.Add(1)
		t.s.sendUnreachable(quoteSYN(id, segment.SequenceNumber()), unreachableProhibited)
		return true
	}
	if !t.begin(id, segment.SequenceNumber()) {
		return false
	}
	return t.forwarder.HandlePacket(id, pkt)
}

// begin notes a connection that is to be made. It returns false if the peer has too many connections.
func (t *tcpFlows) begin(id stack.TransportEndpointID, seq uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.pending[id]; ok {
		return true // the forwarder ignores a second SYN
	}
	if t.closed || len(t.flows)+len(t.pending) >= t.s.limits.TCPFlows {
		t.s.counters.refusedFlows.Add(1)
		return false
	}
	if len(t.pending) < t.s.limits.PendingDials {
		t.pending[id] = seq
	}
	return true
}

// end notes that a connection is no longer being made: it is open, or f is nil.
func (t *tcpFlows) end(id stack.TransportEndpointID, f *tcpFlow) {
	t.mu.Lock()
	delete(t.pending, id)
	closed := t.closed
	if f != nil {
		t.flows[f] = struct{}{}
	}
	t.mu.Unlock()
	if f != nil && closed {
		f.abort()
	}
}

// accept makes one connection. It runs in a goroutine of its own.
func (t *tcpFlows) accept(r *tcp.ForwarderRequest) {
	id := r.ID()
	t.mu.Lock()
	seq, ok := t.pending[id]
	t.mu.Unlock()
	if !ok { // too many are being made: the laptop will try again
		r.Complete(false)
		return
	}
	f := t.connect(r, id, seq)
	t.end(id, f)
	if f != nil {
		t.s.counters.tcpOpened.Add(1)
		f.run()
	}
}

// connect connects to the target and then accepts. It returns nil if there is nothing to move.
func (t *tcpFlows) connect(r *tcp.ForwarderRequest, id stack.TransportEndpointID, seq uint32) *tcpFlow {
	dst := fromTCPIP(id.LocalAddress)
	if t.s.gatewayAddress(dst) {
		t.acceptDNS(r)
		return nil
	}
	real, err := t.s.target(dst)
	if err != nil {
		r.Complete(true)
		return nil
	}
	ctx, cancel := context.WithTimeout(t.s.ctx, dialTimeout)
	conn, err := t.s.config.Dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(real, id.LocalPort).String())
	cancel()
	if err != nil {
		t.reject(r, id, seq, err)
		return nil
	}
	wq := new(waiter.Queue)
	ep, tcpErr := r.CreateEndpoint(wq)
	r.Complete(tcpErr != nil)
	if tcpErr != nil {
		reset(conn)
		return nil
	}
	return &tcpFlow{flows: t, ep: ep, wq: wq, conn: conn}
}

// reject tells the laptop what the network told us: refused stays refused, unreachable is reported as a router does,
// and silence stays silence.
func (t *tcpFlows) reject(r *tcp.ForwarderRequest, id stack.TransportEndpointID, seq uint32, err error) {
	reason, known := reasonOf(err)
	switch {
	case refusedBy(err):
		r.Complete(true)
	case known:
		r.Complete(false)
		t.s.sendUnreachable(quoteSYN(id, seq), reason)
	case timedOut(err), t.s.ctx.Err() != nil:
		r.Complete(false)
	default: // we could not even try, for example for want of sockets
		t.s.log.Warn("connect to target", "address", id.LocalAddress, "port", id.LocalPort, "error", err)
		r.Complete(true)
	}
}

func (t *tcpFlows) remove(f *tcpFlow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.flows, f)
}

// sendShare is how much of its data a connection may have waiting for the laptop: less the more connections there are.
func (t *tcpFlows) sendShare() int64 {
	t.mu.Lock()
	n := int64(len(t.flows))
	t.mu.Unlock()
	return min(max(t.s.limits.SendBytes/max(n, 1), sendBufferMin), sendBufferMax)
}

// abortAll resets all connections towards both sides and takes no more.
func (t *tcpFlows) abortAll() {
	t.mu.Lock()
	t.closed = true
	flows := make([]*tcpFlow, 0, len(t.flows))
	for f := range t.flows {
		flows = append(flows, f)
	}
	t.mu.Unlock()
	for _, f := range flows {
		f.abort()
	}
}

// quoteSYN rebuilds as much of the laptop's SYN as an ICMP error about it has to quote.
func quoteSYN(id stack.TransportEndpointID, seq uint32) []byte {
	src, dst := fromTCPIP(id.RemoteAddress), fromTCPIP(id.LocalAddress)
	size := header.IPv4MinimumSize
	if src.Is6() {
		size = header.IPv6MinimumSize
	}
	b := make([]byte, size+header.TCPMinimumSize)
	if src.Is6() {
		b[0], b[6] = 6<<4, protocolTCP
		binary.BigEndian.PutUint16(b[4:], header.TCPMinimumSize)
		copy(b[8:24], src.AsSlice())
		copy(b[24:40], dst.AsSlice())
	} else {
		b[0], b[8], b[9] = 4<<4|header.IPv4MinimumSize/4, 64, protocolTCP
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		copy(b[12:16], src.AsSlice())
		copy(b[16:20], dst.AsSlice())
		setIPv4Checksum(b[:header.IPv4MinimumSize])
	}
	binary.BigEndian.PutUint16(b[size:], id.RemotePort)
	binary.BigEndian.PutUint16(b[size+2:], id.LocalPort)
	binary.BigEndian.PutUint32(b[size+4:], seq)
	b[size+12] = header.TCPMinimumSize / 4 << 4
	b[size+13] = byte(header.TCPFlagSyn)
	return b
}

// setTCPOptions makes the laptop's side of a connection notice a laptop that is gone, after minutes rather than hours.
func setTCPOptions(ep tcpip.Endpoint) {
	options := ep.SocketOptions()
	options.SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	_ = ep.SetSockOpt(&idle) // TCP endpoints know these options: no error
	_ = ep.SetSockOpt(&interval)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
}

// dnsIdle is how long a DNS connection may be silent (RFC 7766, section 6.2.3, speaks of seconds).
const dnsIdle = 10 * time.Second
