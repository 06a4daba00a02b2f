// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/agent/api/carrier/processors"
)

// Bind is WireGuard's way to its peers. It is safe for concurrent use, and may be closed and opened again by the
// device without losing a relay stream or half a frame of one.
type Bind struct {
	log     *slog.Logger
	udp     conn.Bind
	inbound *inbound
	probes  probes
	events  Events

	sessions sessions

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
		udp:     conn.NewStdNetBind(),
		inbound: newInbound(),
		probes:  probes{private: privateKey, byHint: map[[8]byte]probePeer{}},
		events:  events,
		streams: map[uint64]*stream{},
	}
}

// addressOf returns the address of a UDP endpoint.
func addressOf(e conn.Endpoint) netip.AddrPort {
	if std, ok := e.(*conn.StdNetEndpoint); ok {
		return std.AddrPort
	}
	return netip.AddrPort{}
}

// Open implements conn.Bind.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	processors.Process.Begin()
	fns, actual, err := b.udp.Open(port)
	if err != nil {
		return nil, 0, err
	}
	for i, fn := range fns {
		fns[i] = b.receiveUDP(fn)
	}
	return append(fns, b.receiveRelay(b.inbound.open())), actual, nil
}

// receiveUDP takes probes out of what a UDP socket receives and notes the way of the rest.
func (b *Bind) receiveUDP(fn conn.ReceiveFunc) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, err := fn(packets, sizes, eps)
		var last uint32
		packetCount, byteCount := 0, 0
		for i := range n {
			p := packets[i][:sizes[i]]
			if carrier.IsProbe(p) {
				if reply := b.answerProbe(p, UDP, eps[i]); reply != nil && fitsPath(addressOf(eps[i]).Addr(), len(reply)) {
					_ = b.udp.Send([][]byte{reply}, eps[i]) // a lost answer is an answer too
				}
				sizes[i] = 0
				continue
			}
			index, ok := sessionOf(p)
			if !ok {
				continue
			}
			if index != last {
				b.sessions.heardUDP(index, addressOf(eps[i]))
				last = index
			}
			if len(p) > minMessageData { // less is a keepalive
				packetCount++
				byteCount += len(p) - minMessageData
			}
		}
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
		b.received(packetCount, byteCount)
		return n, err
	}
}

func (b *Bind) received(packets, bytes int) {
	processors.Process.Moved(packets, bytes)
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
	processors.Process.Moved(packets, bytes)
	if packets > 0 && b.events.Sent != nil {
		defer b.events.Sent(packets, bytes)
	}
	if relay, ok := endpoint.(*relayEndpoint); ok {
		return relay.stream.send(datagrams)
	}
	err := b.udp.Send(datagrams, endpoint)
	if err != nil && tooBig(err) {
		return b.sendSmaller(datagrams, endpoint)
	}
	return err
}

// sendSmaller sends datagrams one by one after the path has refused a batch of them. The kernel takes those that are
// too large in fragments, or not at all; so that this does not go on, it says how large they were.
func (b *Bind) sendSmaller(datagrams [][]byte, endpoint conn.Endpoint) error {
	largest := 0
	for _, d := range datagrams {
		largest = max(largest, len(d))
	}
	b.tooBig.Add(1)
	if b.events.TooBig != nil {
		b.events.TooBig(addressOf(endpoint), largest)
	}
	var first error
	one := make([][]byte, 1)
	for _, d := range datagrams {
		one[0] = d
		if err := b.udp.Send(one, endpoint); err != nil && !tooBig(err) && first == nil {
			first = err
		}
	}
	return first
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
	return b.udp.Close()
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

// SetMark implements conn.Bind.
func (b *Bind) SetMark(mark uint32) error { return b.udp.SetMark(mark) }

// ParseEndpoint implements conn.Bind.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) { return b.udp.ParseEndpoint(s) }

// BatchSize implements conn.Bind.
func (b *Bind) BatchSize() int { return conn.IdealBatchSize }

// TooBig returns how many batches of datagrams did not fit their UDP path.
func (b *Bind) TooBig() uint64 { return b.tooBig.Load() }
