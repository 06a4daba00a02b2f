// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/agent/api/carrier/processors"
	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

// Bind is WireGuard's way to its peers. It is safe for concurrent use, and may be closed and opened again by the
// device without losing a relay stream or half a frame of one.
type Bind struct {
	log     *slog.Logger
	inbound *inbound
	probes  probes
	events  Events

	sessions sessions

	udpMu sync.RWMutex
	udp   *sockets.Sockets // nil while closed

	mu      sync.Mutex
	streams map[uint64]*stream
	lastID  uint64
	ended   bool

	tooBig atomic.Uint64 // batches with datagrams too large for their path
}

// Events are what a Bind tells. Any of them may be nil. They are called from the data path
// and, but for Received, must not wait.
type Events struct {
	// Drained says that a way that was full may have room again.
	Drained func()
	// Sent says that so many packets, with so many bytes in all, have left WireGuard for a peer.
	Sent func(packets, bytes int)
	// Received says that so many packets, with so many bytes in all, have come in and go to WireGuard. It may wait:
	// meanwhile nothing more is received from where these came from.
	Received func(packets, bytes int)
	// Probed says that a peer has proved to be there on a carrier, and which MTU it uses in the tunnel over it, in
	// bytes; 0 if it does not say.
	Probed func(publicKey [32]byte, by Carrier, mtu int)
	// Session says how WireGuard stands with a peer that has just probed from an endpoint, as that writes itself: whether it
	// has no session, and whether it sends to the peer elsewhere.
	Session func(publicKey [32]byte, from string) (none, elsewhere bool)
	// TooBig says that the path to a UDP address does not take a datagram of this size, in bytes of UDP payload.
	TooBig func(to netip.AddrPort, size int)
}

// NewBind makes a Bind; nothing is opened before the device asks for it.
func NewBind(privateKey [32]byte, events Events, log *slog.Logger) *Bind {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Bind{
		log:     log,
		inbound: newInbound(),
		probes:  probes{private: privateKey, byHint: map[[8]byte]probePeer{}},
		events:  events,
		streams: map[uint64]*stream{},
	}
}

// Open implements conn.Bind.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	processors.Process.Begin()
	b.udpMu.Lock()
	defer b.udpMu.Unlock()
	if b.udp != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	udp, err := sockets.Open(port)
	if err != nil {
		return nil, 0, err
	}
	b.udp = udp
	var receivers []conn.ReceiveFunc
	for _, receive := range udp.Receivers() {
		receivers = append(receivers, b.receiveUDP(receive))
	}
	return append(receivers, b.receiveRelay(b.inbound.open())), udp.Port(), nil
}

// receiveUDP takes probes out of what a UDP socket receives and notes the way of the rest.
func (b *Bind) receiveUDP(receive sockets.Receive) conn.ReceiveFunc {
	from := make([]netip.AddrPort, b.BatchSize())
	heard := new(udpEndpoint) // the last one
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, err := receive(packets[:min(len(packets), len(from))], sizes, from)
		var last uint32
		packetCount, byteCount := 0, 0
		for i := range n {
			if from[i] != heard.address {
				heard = &udpEndpoint{from[i]}
			}
			eps[i] = heard
			p := packets[i][:sizes[i]]
			if carrier.IsProbe(p) {
				if reply := b.answerProbe(p, UDP, heard); reply != nil && fitsPath(heard.address.Addr(), len(reply)) {
					_ = b.sendUDP([][]byte{reply}, heard.address) // a lost answer is an answer too
				}
				sizes[i] = 0
				continue
			}
			index, ok := sessionOf(p)
			if !ok {
				continue
			}
			if index != last {
				b.sessions.heardUDP(index, heard.address)
				last = index
			}
			if len(p) > minMessageData { // less is a keepalive
				packetCount++
				byteCount += len(p) - minMessageData
			}
		}
		processors.Process.Moved(packetCount, byteCount)
		b.received(packetCount, byteCount)
		return n, err
	}
}

func (b *Bind) receiveRelay(fn conn.ReceiveFunc) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, err := fn(packets, sizes, eps)
		var last uint32
		packetCount, byteCount := 0, 0
		for i := range n {
			p := packets[i][:sizes[i]]
			index, ok := sessionOf(p)
			if !ok {
				continue
			}
			if index != last {
				b.sessions.heardRelay(index, eps[i].(*relayEndpoint).stream)
				last = index
			}
			if len(p) > minMessageData { // less is a keepalive
				packetCount++
				byteCount += len(p) - minMessageData
			}
		}
		movedByRelay(byteCount)
		b.received(packetCount, byteCount)
		return n, err
	}
}

// movedByRelay takes note of what has passed over a relay. It comes in large pieces, and others on its way have more to do with
// it, so that it takes four times as much as over UDP before several processors are worth it.
func movedByRelay(bytes int) { processors.Process.Moved(0, bytes/4) }

func (b *Bind) received(packets, bytes int) {
	if packets > 0 && b.events.Received != nil {
		b.events.Received(packets, bytes)
	}
}

// WayOf returns the way by which the last datagram came for a session that this end numbered so, or nil. It is a hint:
// WireGuard may not have accepted that datagram.
func (b *Bind) WayOf(session uint32) *Way { return b.sessions.way(session) }

// Send implements conn.Bind. Over a relay it never waits.
func (b *Bind) Send(datagrams [][]byte, endpoint conn.Endpoint) error {
	packets, bytes := b.sessions.sent(datagrams)
	if packets > 0 && b.events.Sent != nil {
		defer b.events.Sent(packets, bytes)
	}
	if relay, ok := endpoint.(*relayEndpoint); ok {
		movedByRelay(bytes)
		return relay.stream.send(datagrams)
	}
	processors.Process.Moved(packets, bytes)
	udp, ok := endpoint.(*udpEndpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	err := b.sendUDP(datagrams, udp.address)
	// What is too large for the path and no segment of several leaves in fragments. So that this does not go on, it is told.
	if tooLarge, ok := errors.AsType[*sockets.TooLargeError](err); ok {
		b.tooBig.Add(1)
		if b.events.TooBig != nil {
			b.events.TooBig(udp.address, tooLarge.Size)
		}
		return nil
	}
	return err
}

func (b *Bind) sendUDP(datagrams [][]byte, to netip.AddrPort) error {
	b.udpMu.RLock()
	defer b.udpMu.RUnlock()
	if b.udp == nil {
		return net.ErrClosed
	}
	return b.udp.Send(datagrams, to)
}

func (b *Bind) addStream(c net.Conn) (*stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil, net.ErrClosed
	}
	if len(b.streams) >= maxStreams {
		return nil, errors.New("too many relay streams")
	}
	b.lastID++
	s := newStream(b.lastID, c)
	b.streams[s.id] = s
	return s, nil
}

func (b *Bind) removeStream(s *stream) {
	b.mu.Lock()
	delete(b.streams, s.id)
	b.mu.Unlock()
	b.drained()
}

func (b *Bind) drained() {
	if b.events.Drained != nil {
		b.events.Drained()
	}
}

// Close implements conn.Bind: WireGuard receives no more until the next Open. Relay streams stay.
func (b *Bind) Close() error {
	b.inbound.close()
	b.udpMu.Lock()
	defer b.udpMu.Unlock()
	if b.udp == nil {
		return nil
	}
	udp := b.udp
	b.udp = nil
	return udp.Close()
}

// End closes all relay streams, for good.
func (b *Bind) End() {
	b.mu.Lock()
	b.ended = true
	streams := make([]*stream, 0, len(b.streams))
	for _, s := range b.streams {
		streams = append(streams, s)
	}
	b.mu.Unlock()
	b.inbound.end()
	for _, s := range streams {
		s.close()
	}
}

// Streams returns how many relay streams are open.
func (b *Bind) Streams() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams)
}

// SetMark implements conn.Bind. Marks are not for a pod.
func (b *Bind) SetMark(mark uint32) error {
	if mark != 0 {
		return errors.New("the gateway marks no packets")
	}
	return nil
}

// ParseEndpoint implements conn.Bind.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	address, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	return &udpEndpoint{netip.AddrPortFrom(address.Addr().Unmap(), address.Port())}, nil
}

// BatchSize implements conn.Bind.
func (b *Bind) BatchSize() int { return conn.IdealBatchSize }

// TooBig returns how many batches of datagrams did not fit their UDP path.
func (b *Bind) TooBig() uint64 { return b.tooBig.Load() }
