// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/curve25519"
	"golang.zx2c4.com/wireguard/device"

	"github.com/fairlead-dev/fairlead/agent/netstack"
	"github.com/fairlead-dev/fairlead/agent/wireguard"
)

// Mapping shows a prefix of the cluster to a laptop under other addresses.
type Mapping = netstack.Mapping

// Key is a WireGuard key, private or public.
type Key = [32]byte

// DNSHandler answers the DNS messages that laptops send to their gateway address, port 53. It returns nil to give no
// answer. It is called from many goroutines at once and must obey ctx.
type DNSHandler interface {
	ServeDNS(ctx context.Context, peer Peer, query []byte, tcp bool) []byte
}

// Config is what a Tunnel is made of.
type Config struct {
	PrivateKey Key
	UDPPort    int // 0 for any
	DNS        DNSHandler
	// Refuse says why laptops may not reach an address of the cluster, or nil. Loopback, link-local, multicast and
	// metadata addresses, and those of all peers, are refused without asking.
	Refuse func(netip.Addr) error
	Dialer netstack.Dialer     // towards the cluster; nil means net.Dialer
	Echo   netstack.EchoDialer // for pings; nil means unprivileged ICMP sockets
	Limits Limits
	Log    *slog.Logger // nil for none
}

// Limits bound memory. A zero field stands for its default.
type Limits struct {
	Peer         netstack.Limits
	ReceiveBytes int64 // received data that waits for its target, of all peers together. Default 128 MiB
}

// Peer is a laptop.
type Peer struct {
	Name      string // for logs and figures
	PublicKey Key
	Laptop    []netip.Addr // its addresses in the tunnel: one IPv4, one IPv6
	Gateway   []netip.Addr // ours as it sees them
	Mappings  []Mapping
}

// ErrUnknownPeer says that there is no peer with such a key.
var ErrUnknownPeer = errors.New("unknown peer")

// Tunnel is the data plane. It is safe for concurrent use.
type Tunnel struct {
	config Config
	log    *slog.Logger
	bind   *wireguard.Bind
	device *device.Device
	mux    *mux
	budget netstack.Budget
	public Key
	looked atomic.Int64 // when handshakes were last looked at, Unix time in nanoseconds

	mu     sync.Mutex // serializes changes of peers
	closed bool
}

// New starts a data plane without peers. It fails when the UDP port is taken.
func New(config Config) (*Tunnel, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Limits.ReceiveBytes == 0 {
		config.Limits.ReceiveBytes = 128 << 20
	}
	if config.UDPPort < 0 || config.UDPPort > 65535 {
		return nil, fmt.Errorf("UDP port %d is not between 0 and 65535", config.UDPPort)
	}
	public, err := publicKey(config.PrivateKey)
	if err != nil {
		return nil, err
	}
	t := &Tunnel{config: config, log: config.Log, public: public}
	t.budget.Max = config.Limits.ReceiveBytes
	t.mux = newMux()
	t.bind = wireguard.NewBind(config.PrivateKey, wireguard.Events{
		Drained:  t.mux.release,
		Sent:     t.mux.out.done,
		Received: t.mux.received,
		Probed:   t.mux.probed,
		Session:  t.sessionWith,
		TooBig:   t.mux.tooBig,
	}, config.Log)
	t.mux.wayOf = t.bind.WayOf
	t.device = device.NewDevice(t.mux, t.bind, deviceLogger(config.Log))
	settings := fmt.Sprintf("private_key=%s\nlisten_port=%d\n", hex.EncodeToString(config.PrivateKey[:]), config.UDPPort)
	if err := t.device.IpcSet(settings); err != nil {
		t.device.Close()
		return nil, fmt.Errorf("configure WireGuard: %w", err)
	}
	if err := t.device.Up(); err != nil {
		t.device.Close()
		return nil, fmt.Errorf("open WireGuard's UDP port %d: %w", config.UDPPort, err)
	}
	return t, nil
}

func publicKey(private Key) (Key, error) {
	public, err := curve25519.X25519(private[:], curve25519.Basepoint)
	if err != nil {
		return Key{}, fmt.Errorf("derive public key: %w", err)
	}
	return Key(public), nil
}

// deviceLogger passes WireGuard's messages on. They are about single packets and peers: never louder than debug.
func deviceLogger(log *slog.Logger) *device.Logger {
	l := &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf}
	if log.Enabled(context.Background(), slog.LevelDebug) {
		l.Errorf = func(format string, args ...any) { log.Debug("wireguard: " + fmt.Sprintf(format, args...)) }
	}
	return l
}

// PublicKey returns the gateway's WireGuard public key.
func (t *Tunnel) PublicKey() Key { return t.public }

// UDPPort returns the port where WireGuard listens.
func (t *Tunnel) UDPPort() (int, error) {
	state, err := readDevice(t.device)
	return state.port, err
}

// SetPeer adds a laptop or changes it. For one that is there already, a change of name or mappings leaves its flows
// alone; other addresses end them. Addresses that another peer has go over to this one.
func (t *Tunnel) SetPeer(p Peer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	if err := p.validate(); err != nil {
		return fmt.Errorf("peer %q: %w", p.Name, err)
	}
	old := t.mux.find(p.PublicKey)
	if old != nil && old.sameAddresses(p) {
		if err := old.stack.SetMappings(p.Mappings); err != nil {
			return fmt.Errorf("peer %q: %w", p.Name, err)
		}
		old.config.Store(&p)
		return nil
	}
	member, err := t.newMember(p)
	if err != nil {
		return fmt.Errorf("peer %q: %w", p.Name, err)
	}
	if err := t.bind.AllowProbes(p.PublicKey); err != nil {
		member.stack.Close()
		return fmt.Errorf("peer %q: %w", p.Name, err)
	}
	t.mux.add(member)
	var settings strings.Builder
	fmt.Fprintf(&settings, "public_key=%s\nreplace_allowed_ips=true\n", hex.EncodeToString(p.PublicKey[:]))
	for _, a := range p.Laptop {
		fmt.Fprintf(&settings, "allowed_ip=%s\n", netip.PrefixFrom(a, a.BitLen()))
	}
	if err := t.device.IpcSet(settings.String()); err != nil {
		t.bind.ForbidProbes(p.PublicKey)
		t.mux.remove(member)
		member.stack.Close()
		return fmt.Errorf("peer %q: configure WireGuard: %w", p.Name, err)
	}
	if old != nil {
		old.stack.Close()
	}
	return nil
}

func (p Peer) validate() error {
	if len(p.Laptop) == 0 || len(p.Gateway) == 0 {
		return errors.New("needs an address on both sides of the tunnel")
	}
	for _, a := range slices.Concat(p.Laptop, p.Gateway) {
		if !a.IsValid() || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return fmt.Errorf("%s can't be an address in the tunnel", a)
		}
	}
	return netstack.Mappings(p.Mappings).Validate()
}

func (t *Tunnel) newMember(p Peer) (*member, error) {
	m := newMember(p)
	config := netstack.Config{
		Laptop: p.Laptop, Gateway: p.Gateway, Mappings: p.Mappings,
		Dialer: t.config.Dialer, Echo: t.config.Echo, Refuse: t.refuse,
		Limits: t.config.Limits.Peer, Budget: &t.budget, Log: t.log.With("peer", p.Name),
		Output: func() { t.mux.ready(m) },
	}
	if t.config.DNS != nil {
		config.DNS = func(ctx context.Context, query []byte, tcp bool) []byte {
			return t.config.DNS.ServeDNS(ctx, *m.config.Load(), query, tcp)
		}
	}
	stack, err := netstack.New(config)
	if err != nil {
		return nil, err
	}
	m.stack = stack
	return m, nil
}

// refuse says why laptops may not reach an address.
func (t *Tunnel) refuse(a netip.Addr) error {
	if t.mux.taken(a) {
		return errors.New("address of another laptop")
	}
	if t.config.Refuse != nil {
		return t.config.Refuse(a)
	}
	return nil
}

// RemovePeer forgets a laptop and ends its flows. It is no error if there is none with this key.
func (t *Tunnel) RemovePeer(publicKey Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.mux.find(publicKey)
	if m == nil || t.closed {
		return
	}
	t.bind.ForbidProbes(publicKey)
	t.device.RemovePeer(device.NoisePublicKey(publicKey))
	t.mux.remove(m)
	m.stack.Close()
}

// ServeRelay accepts relay streams until ctx ends or the listener fails. It closes the listener.
func (t *Tunnel) ServeRelay(ctx context.Context, listener net.Listener) error {
	return t.bind.ServeRelay(ctx, listener)
}

// DialTCP connects to a port of a laptop through the tunnel.
func (t *Tunnel) DialTCP(ctx context.Context, publicKey Key, port uint16) (net.Conn, error) {
	m := t.mux.find(publicKey)
	if m == nil {
		return nil, ErrUnknownPeer
	}
	return m.stack.DialTCP(ctx, netip.AddrPortFrom(m.config.Load().Laptop[0], port))
}

// Heard returns when a laptop was last heard, by an authentic packet or probe: zero if it was not, or if there is none
// with this key.
func (t *Tunnel) Heard(publicKey Key) time.Time {
	if m := t.mux.find(publicKey); m != nil {
		return m.lastHeard()
	}
	return time.Time{}
}

// lookPause is the least time between two looks at WireGuard's sessions.
const lookPause = 200 * time.Millisecond

// sessionWith reports whether a laptop has made no handshake with this process, so that nothing can be sent to it, and
// whether what is sent to it goes to another endpoint than this one. It knows that a moment after it was asked: WireGuard
// can't be asked from where it receives.
func (t *Tunnel) sessionWith(publicKey Key, endpoint string) (none, elsewhere bool) {
	m := t.mux.find(publicKey)
	if m == nil {
		return false, false
	}
	now := time.Now().UnixNano()
	if last := t.looked.Load(); now-last > int64(lookPause) && t.looked.CompareAndSwap(last, now) {
		go t.lookAtSessions()
	}
	none = m.session.Load()&knownSession == 0 && m.stranger.Load()
	way := m.endpoint.Load()
	return none, !none && way != nil && *way != endpoint
}

func (t *Tunnel) lookAtSessions() {
	state, err := readDevice(t.device)
	if err != nil {
		return // it is closed
	}
	for _, m := range t.mux.all() {
		peer, known := state.peers[m.config.Load().PublicKey]
		m.stranger.Store(known && peer.lastHandshake.IsZero())
		if peer.endpoint != "" {
			m.endpoint.Store(&peer.endpoint)
		}
	}
}

// drainTime is how long Close waits for the last packets to leave.
const drainTime = 500 * time.Millisecond

// Close resets all flows, so that neither side has to find out by itself, and stops.
func (t *Tunnel) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	members := t.mux.all()
	for _, m := range members {
		m.stack.Shutdown()
	}
	t.mux.drain(drainTime)
	t.device.Close()
	t.bind.End()
	for _, m := range members {
		m.stack.Close()
	}
}
