// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// nicMTU is what the stack believes of its link, in bytes. It is larger than any tunnel MTU, because the link
	// itself cuts what it sends to the MTU of the moment: a connection opened over one carrier lives on over another.
	nicMTU = 65535

	// packetData is what the stack sends as one TCP packet, in bytes; of what is written as more, the little that is left over
	// leaves as a packet of its own. It is cut into 45 datagrams on usual paths, which the kernels of both ends move as one
	// (sockets.maxGroup). One datagram more would be moved by itself, and the laptop get two packets.
	packetData = 45 * 1344
	// gsoMaxSize is the largest TCP packet that the stack hands to the link in bytes, to be cut there.
	gsoMaxSize = packetData + header.TCPTotalHeaderMaximumSize + 1

	// queueBytes is how much waits to be sent to the laptop before senders have to wait too.
	queueBytes = 1 << 20
	// queueBytesHard is when packets are dropped because waiting has not helped.
	queueBytesHard = 4 << 20
	// stallTime is how long a sender waits for a queue that does not move.
	stallTime = 100 * time.Millisecond
)

// link is the network interface of a stack: a queue of packets for the laptop. Writers wait while it is full, so that
// TCP senders are slowed down rather than lose packets; but not for ever, because some writers are in the way of the
// packets that come in.
type link struct {
	notify func() // called when the queue stops being empty

	mu         sync.Mutex
	room       sync.Cond
	queue      []*stack.PacketBuffer // from head on
	head       int
	bytes      int
	stalled    bool // a writer has waited in vain since the last packet went out
	closed     bool
	dispatcher stack.NetworkDispatcher
	waiters    int
	dropped    uint64

	acks      delayedAcks
	ackTimer  *time.Timer // releases them
	ackTiming bool        // it runs
}

func newLink(notify func()) *link {
	l := &link{notify: notify}
	l.room.L = &l.mu
	l.ackTimer = time.AfterFunc(ackDelay, l.releaseAcks)
	l.ackTimer.Stop()
	return l
}

// WritePackets takes packets to be sent to the laptop.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		if !l.push(pkt, true) {
			if n == 0 {
				return 0, &tcpip.ErrNoBufferSpace{}
			}
			break
		}
		n++
	}
	return n, nil
}

// push appends a packet, waiting for room if asked to, and reports whether it was taken.
func (l *link) push(pkt *stack.PacketBuffer, wait bool) bool {
	l.mu.Lock()
	if wait && l.bytes >= queueBytes && !l.stalled && !l.closed {
		l.waitForRoom()
	}
	if l.closed || l.bytes >= queueBytesHard || !wait && l.bytes >= queueBytes {
		l.dropped++
		l.mu.Unlock()
		return false
	}
	if l.acks.hold(pkt) {
		if !l.ackTiming {
			l.ackTiming = true
			l.ackTimer.Reset(ackDelay)
		}
		l.mu.Unlock()
		return true
	}
	wasEmpty := l.head == len(l.queue)
	l.queue = append(l.queue, pkt.IncRef())
	l.bytes += pkt.Size()
	l.mu.Unlock()
	if wasEmpty {
		l.notify()
	}
	return true
}

// releaseAcks queues the acknowledgements that have been held back.
func (l *link) releaseAcks() {
	l.mu.Lock()
	l.ackTiming = false
	wasEmpty := l.head == len(l.queue)
	for _, pkt := range l.acks.release() {
		if l.closed {
			pkt.DecRef()
			continue
		}
		l.queue = append(l.queue, pkt)
		l.bytes += pkt.Size()
	}
	filled := wasEmpty && l.head < len(l.queue)
	l.mu.Unlock()
	if filled {
		l.notify()
	}
}

// waitForRoom waits until there is room, the link closes, or nothing has moved for stallTime.
func (l *link) waitForRoom() {
	stop := time.AfterFunc(stallTime, func() {
		l.mu.Lock()
		l.stalled = true
		l.mu.Unlock()
		l.room.Broadcast()
	})
	l.waiters++
	for l.bytes >= queueBytes && !l.stalled && !l.closed {
		l.room.Wait()
	}
	l.waiters--
	stop.Stop()
}

// pop takes the oldest packet, or nil. The caller gives its reference back.
func (l *link) pop() *stack.PacketBuffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.queue) {
		return nil
	}
	pkt := l.queue[l.head]
	l.queue[l.head] = nil
	l.head++
	l.bytes -= pkt.Size()
	l.stalled = false
	switch {
	case l.head == len(l.queue):
		l.queue, l.head = l.queue[:0], 0
		if cap(l.queue) > 1024 {
			l.queue = nil
		}
	case l.head > 512 && l.head*2 > len(l.queue):
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue, l.head = l.queue[:n], 0
	}
	if l.waiters > 0 && l.bytes < queueBytes {
		l.room.Broadcast()
	}
	return pkt
}

// nextSize returns the size of the oldest packet in bytes; 0 if there is none.
func (l *link) nextSize() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.queue) {
		return 0
	}
	return l.queue[l.head].Size()
}

// empty reports whether nothing waits.
func (l *link) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head == len(l.queue)
}

// Close drops what waits and lets writers go.
func (l *link) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, pkt := range l.queue[l.head:] {
		pkt.DecRef()
	}
	l.queue, l.head, l.bytes = nil, 0, 0
	l.acks.clear()
	l.ackTimer.Stop()
	l.room.Broadcast()
}

func (l *link) deliver(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	l.mu.Lock()
	d := l.dispatcher
	l.mu.Unlock()
	if d != nil {
		d.DeliverNetworkPacket(protocol, pkt)
	}
}

// Attach, and what follows, is what gVisor asks of a network interface.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

func (l *link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcher != nil
}

// Capabilities says that checksums of what comes in have been verified: Deliver does.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

func (l *link) MTU() uint32                             { return nicMTU }
func (l *link) SetMTU(uint32)                           {}
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress          { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) Wait()                                   {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) SetOnCloseAction(func())                 {}
func (l *link) GSOMaxSize() uint32                      { return gsoMaxSize }
func (l *link) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)
