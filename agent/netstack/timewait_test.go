// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// brief is a cluster whose targets take what comes and close first.
type brief struct{}

func (brief) DialContext(context.Context, string, string) (net.Conn, error) {
	ours, targets := net.Pipe()
	return ours, targets.Close()
}

// laptopTCP is the laptop's end of connections through a stack, segment by segment.
type laptopTCP struct {
	t      *testing.T
	s      *Stack
	output chan struct{}
	from   segment // addresses and ports of what it sends
}

func newLaptopTCP(t *testing.T, src, dst netip.Addr) *laptopTCP {
	l := &laptopTCP{t: t, output: make(chan struct{}, 1), from: segment{src: src, dst: dst, srcPort: 40000, dstPort: 80}}
	l.s = newStack(t, Config{Dialer: brief{}, Output: func() {
		select {
		case l.output <- struct{}{}:
		default:
		}
	}})
	return l
}

func (l *laptopTCP) send(flags byte, seq, ack uint32) {
	sent := l.from
	sent.flags, sent.seq, sent.ack = flags, seq, ack
	l.s.Deliver([][]byte{sent.packet()}, 0)
}

// await returns the TCP header of the next segment that has these flags.
func (l *laptopTCP) await(flags byte) header.TCP {
	l.t.Helper()
	bufs, sizes := [][]byte{make([]byte, 1280)}, make([]int, 1)
	limit := time.After(10 * time.Second)
	for {
		for l.s.Collect(bufs, sizes, 0, 1280, 1280) > 0 {
			p, ok := parsePacket(bufs[0][:sizes[0]])
			if ok && p.protocol == protocolTCP && p.payload()[13]&flags == flags {
				return header.TCP(append([]byte(nil), p.payload()...))
			}
		}
		select {
		case <-l.output:
		case <-limit:
			l.t.Fatalf("no segment with flags %#x", flags)
		}
	}
}

// converse opens a connection, lets the target close it and closes it too.
func (l *laptopTCP) converse(seq uint32) {
	l.t.Helper()
	l.send(flagSyn, seq, 0)
	accepted := l.await(flagSyn | flagAck)
	if accepted.AckNumber() != seq+1 {
		l.t.Fatalf("the SYN with %d is answered with an acknowledgment of %d", seq, accepted.AckNumber())
	}
	l.send(flagAck, seq+1, accepted.SequenceNumber()+1)
	end := l.await(flagFin)
	l.send(flagFin|flagAck, seq+1, end.SequenceNumber()+1)
	if last := l.await(flagAck); last.AckNumber() != seq+2 {
		l.t.Fatalf("the end with %d is answered with an acknowledgment of %d", seq+1, last.AckNumber())
	}
	for limit := time.Now().Add(10 * time.Second); !l.waits(); time.Sleep(time.Millisecond) { // the answer goes out a moment before
		if time.Now().After(limit) {
			l.t.Fatal("the connection does not come to its end")
		}
	}
}

// waits reports whether the connection is in TIME_WAIT.
func (l *laptopTCP) waits() bool {
	protocol := header.IPv4ProtocolNumber
	if l.from.src.Is6() {
		protocol = header.IPv6ProtocolNumber
	}
	id := stack.TransportEndpointID{
		LocalAddress: toTCPIP(l.from.dst), LocalPort: l.from.dstPort, RemoteAddress: toTCPIP(l.from.src), RemotePort: l.from.srcPort,
	}
	ep, ok := l.s.stack.FindTransportEndpoint(protocol, tcp.ProtocolNumber, id, nicID).(*tcp.Endpoint)
	return ok && ep.EndpointState() == tcp.StateTimeWait
}

// A laptop takes a port again as soon as the target has closed the connection before: each of these is answered, and none of
// them waits. Sequence numbers begin wherever the laptop's system likes.
func TestAPortIsUsedAgainAtOnce(t *testing.T) {
	for name, ends := range map[string][2]netip.Addr{"IPv4": {laptop4, target4}, "IPv6": {laptop6, target6}} {
		t.Run(name, func(t *testing.T) {
			l := newLaptopTCP(t, ends[0], ends[1])
			for _, seq := range []uint32{1 << 20, 5 << 20, 5<<20 - 1000, 1 << 31, 7} {
				l.converse(seq)
			}
			if opened := l.s.Stats().TCPOpened; opened != 5 {
				t.Errorf("%d connections were opened", opened)
			}
		})
	}
}

// The wait goes on for all but a new connection: the laptop's last segment, sent again because our answer was lost, is answered again.
func TestALostLastAnswerIsGivenAgain(t *testing.T) {
	l := newLaptopTCP(t, laptop4, target4)
	l.converse(1000)
	for range 3 {
		l.send(flagFin|flagAck, 1001, 0)
		if again := l.await(flagAck); again.AckNumber() != 1002 || again.Flags().Contains(header.TCPFlagRst) {
			t.Errorf("answered with %v", again.Flags())
		}
	}
}
