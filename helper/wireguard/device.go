// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

// Peer is the gateway.
type Peer struct {
	PublicKey wgtypes.Key
	UDP       []netip.AddrPort // endpoints, best first, at most 8
	// Allowed are the addresses that packets of the gateway may come from and packets to which go to it.
	Allowed []netip.Prefix
}

// Config is what a Device is made of.
type Config struct {
	TUN     tun.Device // of which the Device takes ownership, also when Open fails
	Name    string     // of the interface
	Key     wgtypes.Key
	Peer    Peer
	Carrier api.CarrierName       // to send by at the start
	SetMTU  func(bytes int) error // changes the interface's MTU
	Journal *restore.Journal
	Log     *slog.Logger
}

// Device is the laptop's end of a WireGuard tunnel. Its methods may be called at the same time.
type Device struct {
	config  Config
	bind    *bind
	wg      *device.Device
	control *control
	changed chan struct{} // buffered by one
	wakeup  chan struct{} // buffered by one: there may be something to do
	refused atomic.Int64  // size in bytes of a datagram that did not fit the path, 0 when that was dealt with
	cancel  context.CancelFunc
	loop    sync.WaitGroup

	mu       sync.Mutex
	peer     Peer
	hint     [8]byte // of our public key, in probes
	probeKey [32]byte
	prober   prober
	mtu      int // in place
	session  handshaker
	memory   trimmer
	stepped  time.Time // when step last ran
	shown    shown
}

// Open starts a Device: it is up, configured, and probing when Open returns.
func Open(config Config) (*Device, error) {
	d := &Device{
		config: config, bind: newBind(), changed: make(chan struct{}, 1), wakeup: make(chan struct{}, 1), mtu: minMTU,
		hint: carrier.PeerHint(config.Key.PublicKey()),
	}
	d.prober.current, d.stepped = -1, time.Now()
	d.bind.onProbe, d.bind.onLarge = d.probeAnswered, d.datagramTooLarge
	log := &device.Logger{
		Verbosef: func(format string, args ...any) { config.Log.Debug("wireguard: " + fmt.Sprintf(format, args...)) },
		Errorf:   func(format string, args ...any) { config.Log.Debug("wireguard: " + fmt.Sprintf(format, args...)) },
	}
	if !config.Log.Enabled(context.Background(), slog.LevelDebug) {
		log = &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf}
	}
	d.wg = device.NewDevice(config.TUN, d.bind, log)
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) start() error {
	var err error
	if d.control, err = openControl(d.config.Name, d.wg, d.config.Journal); err != nil {
		return err
	}
	if err := d.control.setKey(d.config.Key); err != nil {
		return err
	}
	if err := d.SetPeer(d.config.Peer); err != nil {
		return err
	}
	if err := d.wg.Up(); err != nil {
		return fmt.Errorf("start WireGuard device: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	err = d.SetCarrier(d.config.Carrier)
	d.loop.Go(func() { d.run(ctx) })
	return err
}

// SetPeer changes the gateway's key, endpoints or allowed addresses. Flows go on.
func (d *Device) SetPeer(peer Peer) error {
	key, err := carrier.ProbeKey(d.config.Key, peer.PublicKey)
	if err != nil {
		return &api.Error{Code: api.CodeBadRequest, Message: "the gateway's public key is not valid", Hint: "reinstall the gateway"}
	}
	d.mu.Lock()
	before := d.peer
	d.mu.Unlock()
	if err := d.control.setPeer(before, peer); err != nil {
		return err
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peer, d.probeKey = peer, key
	d.prober.setUDP(now, peer.UDP)
	if before.PublicKey != peer.PublicKey {
		d.session.want(now)
	}
	d.settle(now)
	return nil
}

// SetCarrier changes the way to send by. The gateway follows with the first datagram that comes the new way.
func (d *Device) SetCarrier(name api.CarrierName) error {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prober.active == name {
		return nil
	}
	d.prober.active = name
	d.prober.networkChanged(now)
	d.settle(now)
	return nil
}

// ServeRelay uses conn as the relay carrier until the stream ends, another call takes over, or ctx or the Device ends,
// and closes conn. It returns nil when another call took over or the Device was closed.
func (d *Device) ServeRelay(ctx context.Context, conn net.Conn) error {
	stream, err := greet(ctx, conn)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	if err := d.bind.relay.set(stream); err != nil {
		stream.end(err)
		return nil
	}
	d.relayPresent(true)
	err = stream.run(ctx)
	if d.bind.relay.unset(stream) {
		d.relayPresent(false)
	}
	if errors.Is(err, errRelayReplaced) || errors.Is(err, errRelayClosed) {
		return nil
	}
	return err
}

func (d *Device) relayPresent(present bool) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.prober.setRelay(now, present)
	if present && d.prober.active == api.CarrierRelay {
		d.session.want(now) // there may be another gateway at the other end
	}
	d.settle(now)
}

// NetworkChanged says that links, addresses or routes of the machine changed: everything is tried again at once.
func (d *Device) NetworkChanged() {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.prober.networkChanged(now)
	d.settle(now)
}

// Close ends everything and forgets the key. It closes the TUN device.
func (d *Device) Close() error {
	if d.cancel != nil {
		d.cancel()
		d.loop.Wait()
	}
	d.bind.relay.close()
	var err error
	if d.control != nil {
		err = d.control.close()
	}
	d.wg.Close()
	_ = d.wg.SetPrivateKey(device.NoisePrivateKey{}) // forget it
	if d.bind.datagrams.Load() >= trimBurst {
		time.AfterFunc(trimClosed, trim)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.config.Key[:])
	clear(d.probeKey[:])
	return err
}

// settle puts the prober's opinion into effect. The caller holds mu.
func (d *Device) settle(now time.Time) {
	d.setEndpoint()
	if d.prober.mtu() < d.mtu {
		d.setMTU(now) // before larger packets meet a carrier that does not take them
	}
	if d.bind.active.Swap(d.prober.active) != d.prober.active && d.prober.active != api.CarrierNone {
		d.session.moved(now)
	}
	d.setMTU(now)
	way := d.activeTrack()
	d.session.observe(now, way.configured, way.works(), way.rtt, d.bind.unanswered.Load(), d.bind.response.Load())
	d.announce()
	wake(d.wakeup)
}

// activeTrack returns what is known of the carrier in use; without one, that nothing is. The caller holds mu.
func (d *Device) activeTrack() *track {
	switch d.prober.active {
	case api.CarrierUDP:
		return &d.prober.udp
	case api.CarrierRelay:
		return &d.prober.relay
	}
	return &track{}
}

func (d *Device) setEndpoint() {
	if to := d.prober.endpoint(); d.bind.endpoint.Load() != to {
		d.bind.endpoint.Store(to)
	}
	d.bind.setFragment(d.prober.path.proven == 0)
}

// setMTU brings the interface's MTU to what the carrier in use carries. The caller holds mu.
func (d *Device) setMTU(now time.Time) {
	mtu := d.prober.mtu()
	if mtu == d.mtu {
		return
	}
	if err := d.config.SetMTU(mtu); err != nil {
		d.config.Log.Warn("change the MTU of the tunnel", "mtu", mtu, "error", err)
		return
	}
	d.mtu = mtu
	d.prober.udp.next, d.prober.relay.next = now, now // probes tell the gateway
}

// probeAnswered takes in a probe that came on a carrier.
func (d *Device) probeAnswered(name api.CarrierName, datagram []byte) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	answer, err := carrier.ParseProbe(datagram, d.probeKey)
	if err != nil || answer.Kind != carrier.ProbeReply || answer.Hint != d.hint {
		return
	}
	d.prober.answered(now, name, answer)
	if answer.NoSession && name == d.prober.active {
		d.session.forgotten(now, d.bind.response.Load())
	}
	if answer.Elsewhere && d.prober.inUse(name, answer) {
		d.session.strayed(now)
	}
	d.settle(now)
}

// datagramTooLarge takes in that a UDP datagram did not fit the path. It is called while sending and does not wait.
func (d *Device) datagramTooLarge(size int) {
	d.refused.Store(int64(size))
	wake(d.wakeup)
}

// run sends probes and forces handshakes until ctx ends.
func (d *Device) run(ctx context.Context) {
	gone := d.wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gone:
			gone = nil // told once; it stays so
			wake(d.changed)
		case <-d.wakeup:
		case <-timer.C:
		}
		timer.Reset(max(time.Until(d.step()), 0))
	}
}

// step does what is due and returns when the next is.
func (d *Device) step() time.Time {
	now := time.Now()
	d.mu.Lock()
	if slept(now.Round(0).Sub(d.stepped.Round(0)), now.Sub(d.stepped)) {
		d.config.Log.Debug("the machine slept")
		d.prober.networkChanged(now)
		d.session.want(now)
	}
	d.stepped = now
	if size := d.refused.Swap(0); size > 0 {
		d.prober.refused(now, int(size))
	}
	probes := d.prober.tick(now)
	hint, key, peer := d.hint, d.probeKey, d.peer.PublicKey
	d.settle(now)
	keepalive, handshake := d.session.due(now)
	next := d.prober.wake(now)
	if t := d.session.wake(now); t.Before(next) {
		next = t
	}
	burstOver := d.memory.due(now, d.bind.datagrams.Load())
	select { // settle asked for this very step
	case <-d.wakeup:
	default:
	}
	d.mu.Unlock()

	for _, p := range probes {
		d.bind.sendProbe(p, carrier.AppendProbe(nil, carrier.Probe{
			Kind: carrier.ProbeRequest, Size: p.size, TunnelMTU: p.tunnelMTU, Hint: hint, Sequence: p.sequence,
		}, key))
	}
	if burstOver {
		go trim()
	}
	if wgPeer := d.wg.LookupPeer(device.NoisePublicKey(peer)); wgPeer != nil {
		switch {
		case handshake:
			wgPeer.ExpireCurrentKeypairs() // or WireGuard waits up to five seconds since its last attempt
			_ = wgPeer.SendHandshakeInitiation(false)
		case keepalive:
			wgPeer.SendKeepalive()
		}
	}
	return next
}
