// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/agent/api/carrier/processors"
	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// bind is WireGuard's network: datagrams go out by the carrier in use and come in by both. There is one peer, the
// gateway, and wherever a datagram of it comes from, answers go out by the carrier in use: the laptop does not roam
// after the gateway, it decides.
type bind struct {
	relay   *relay
	onProbe func(api.CarrierName, []byte) // a probe's answer came; the bytes are the callee's for the call only
	onLarge func(size int)                // a UDP datagram of size bytes did not fit the path; must not block

	active   atomic.Value // api.CarrierName
	endpoint atomic.Value // netip.AddrPort: where UDP goes

	mu   sync.RWMutex
	udp  *sockets.Sockets // nil while closed
	stop chan struct{}    // closed by Close

	udpError   lastError
	relayError lastError

	unanswered atomic.Int64  // since when data went out without any coming back, Unix nanoseconds; 0 if it came
	response   atomic.Int64  // when the last handshake was answered, Unix nanoseconds
	initiation atomic.Uint32 // the number by which the answer to the last handshake names it
	datagrams  atomic.Uint64 // sent and received
}

func newBind() *bind {
	b := &bind{relay: newRelay()}
	b.active.Store(api.CarrierNone)
	b.endpoint.Store(netip.AddrPort{})
	return b
}

// lastError is why a carrier can't send at the moment.
type lastError struct {
	text atomic.Pointer[string]
}

// set takes in the outcome of sending. It reports whether that is another than before.
func (l *lastError) set(err error) bool {
	var text *string
	if err != nil {
		s := reason(err)
		text = &s
	}
	before := l.text.Load()
	if before == nil && text == nil || before != nil && text != nil && *before == *text {
		return false
	}
	l.text.Store(text)
	return true
}

func (l *lastError) String() string {
	if text := l.text.Load(); text != nil {
		return *text
	}
	return ""
}

// Open opens the UDP sockets. Without any the relay still works.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	processors.Process.Begin()
	stop := make(chan struct{})
	receivers := []conn.ReceiveFunc{b.receiver(api.CarrierRelay, func(bufs [][]byte, sizes []int) (int, error) {
		return b.relay.receive(stop, bufs, sizes)
	})}
	udp, err := sockets.Open(port)
	if err != nil && port != 0 {
		udp, err = sockets.Open(0) // the port of last time is taken
	}
	b.udpError.set(err)
	if err == nil {
		udp.SetFragment(true)
		for _, receive := range udp.Receivers() {
			receivers = append(receivers, b.receiver(api.CarrierUDP, func(bufs [][]byte, sizes []int) (int, error) { return receive(bufs, sizes, nil) }))
		}
		b.udp, port = udp, udp.Port()
	}
	b.stop = stop
	return receivers, port, nil
}

// receiver wraps what receives from a carrier: probes are handed over and not shown to WireGuard.
func (b *bind) receiver(name api.CarrierName, receive func([][]byte, []int) (int, error)) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
		n, err := receive(bufs, sizes)
		if err != nil {
			return 0, err
		}
		b.count(name, bufs[:n], sizes)
		for i := range n {
			datagram := bufs[i][:sizes[i]]
			endpoints[i] = gateway{b}
			if carrier.IsProbe(datagram) {
				b.onProbe(name, datagram)
				sizes[i] = 0
				continue
			}
			if len(datagram) == 0 {
				continue
			}
			switch datagram[0] {
			case device.MessageTransportType:
				if b.unanswered.Load() != 0 {
					b.unanswered.Store(0)
				}
			case device.MessageResponseType:
				// Layout: type, 3 bytes of zeros, the sender's number, the receiver's number (WireGuard paper, 5.4.3).
				if len(datagram) == device.MessageResponseSize && binary.LittleEndian.Uint32(datagram[8:]) == b.initiation.Load() {
					b.response.Store(time.Now().UnixNano())
				}
			}
		}
		return n, nil
	}
}

// count takes note of datagrams sent or received; sizes are their sizes in bytes, where those of the buffers are not. What
// passes over the relay keeps one processor busy at most: others between here and the gateway have more to do with it.
func (b *bind) count(by api.CarrierName, datagrams [][]byte, sizes []int) {
	b.datagrams.Add(uint64(len(datagrams)))
	if by == api.CarrierRelay {
		return
	}
	bytes := 0
	for i, d := range datagrams {
		if sizes == nil {
			bytes += len(d)
		} else {
			bytes += sizes[i]
		}
	}
	processors.Process.Moved(len(datagrams), bytes)
}

// Close closes the UDP sockets. A relay stream stays open.
func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop == nil {
		return nil
	}
	close(b.stop)
	b.stop = nil
	if b.udp == nil {
		return nil
	}
	err := b.udp.Close()
	b.udp = nil
	return err
}

// Send sends by the carrier in use.
func (b *bind) Send(datagrams [][]byte, _ conn.Endpoint) error {
	active, _ := b.active.Load().(api.CarrierName)
	b.count(active, datagrams, nil)
	switch d := datagrams[len(datagrams)-1]; {
	case d[0] == device.MessageInitiationType && len(d) == device.MessageInitiationSize:
		b.initiation.Store(binary.LittleEndian.Uint32(d[4:]))
	case d[0] == device.MessageTransportType && len(d) > device.MessageKeepaliveSize && b.unanswered.Load() == 0:
		b.unanswered.Store(time.Now().UnixNano())
	}
	switch active {
	case api.CarrierUDP:
		return b.sendUDP(datagrams)
	case api.CarrierRelay:
		err := b.relay.send(datagrams)
		b.relayError.set(err)
		return err
	}
	return nil
}

func (b *bind) sendUDP(datagrams [][]byte) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.udp == nil {
		return net.ErrClosed
	}
	to := b.endpoint.Load().(netip.AddrPort)
	if !to.IsValid() {
		return nil
	}
	err := b.udp.Send(datagrams, to)
	var tooLarge *sockets.TooLargeError
	if errors.As(err, &tooLarge) {
		b.onLarge(tooLarge.Size)
		return nil
	}
	b.udpError.set(err)
	return err
}

// sendProbe sends one probe on its carrier, in use or not.
func (b *bind) sendProbe(p probe, datagram []byte) {
	if p.carrier == api.CarrierRelay {
		b.relayError.set(b.relay.sendFirst(datagram))
		return
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.udp == nil:
	case p.unbroken:
		// Too large for the interface is an answer, too.
		if err := b.udp.SendUnbroken(datagram, p.endpoint); err != nil && !sockets.IsTooLarge(err) {
			b.udpError.set(err)
		}
	default:
		b.udpError.set(b.udp.Send([][]byte{datagram}, p.endpoint))
	}
}

func (b *bind) setFragment(allowed bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.udp != nil {
		b.udp.SetFragment(allowed)
	}
}

// receiveBuffer is the size of the smallest receive buffer of the sockets, in bytes; 0 if it is not known.
func (b *bind) receiveBuffer() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.udp == nil {
		return 0
	}
	return b.udp.ReceiveBuffer()
}

// SetMark does nothing: endpoints are exempt from the tunnel by address.
func (b *bind) SetMark(uint32) error { return nil }

// ParseEndpoint makes the gateway's endpoint of any address: there is only one.
func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	if _, err := netip.ParseAddrPort(s); err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	return gateway{b}, nil
}

// BatchSize is how many datagrams a call moves at most.
func (b *bind) BatchSize() int { return conn.IdealBatchSize }

// relayPlaceholder is what tools that show endpoints get to see while the relay is in use.
var relayPlaceholder = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8642)

// gateway is WireGuard's endpoint: the gateway, by whichever carrier is in use.
type gateway struct{ bind *bind }

func (g gateway) addrPort() netip.AddrPort {
	to := g.bind.endpoint.Load().(netip.AddrPort)
	if g.bind.active.Load() != api.CarrierUDP || !to.IsValid() {
		return relayPlaceholder
	}
	return to
}

func (g gateway) ClearSrc()           {}
func (g gateway) SrcToString() string { return "" }
func (g gateway) DstToString() string { return g.addrPort().String() }
func (g gateway) DstIP() netip.Addr   { return g.addrPort().Addr() }
func (g gateway) SrcIP() netip.Addr   { return netip.Addr{} }

func (g gateway) DstToBytes() []byte {
	bytes, _ := g.addrPort().MarshalBinary() // never fails
	return bytes
}
