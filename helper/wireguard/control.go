// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

const (
	// keepalive is the interval of WireGuard's own keepalives: what its manual recommends to keep the way back through
	// NAT open, and the keys fresh enough that the gateway can open connections to the laptop.
	keepalive = 25 * time.Second
	// countersFor is how long counters that were read count as current.
	countersFor = 200 * time.Millisecond
)

// control configures and reads the device the way wg(8) does, over its control socket.
type control struct {
	name   string
	client *wgctrl.Client
	socket *controlSocket

	mu     sync.Mutex
	read   time.Time // when peer was read
	peer   wgtypes.Peer
	closed bool
}

// openControl makes the device reachable for wgctrl and wg(8) under its interface's name.
func openControl(name string, wg *device.Device, journal *restore.Journal) (*control, error) {
	socket, err := openControlSocket(name, journal)
	if err != nil {
		return nil, &api.Error{
			Code:    api.CodeSystem,
			Message: fmt.Sprintf("the WireGuard control socket of %s can't be opened: %s", name, reason(err)),
			Hint:    "make sure that the helper may write to /var/run/wireguard, and that no other program uses " + name,
		}
	}
	go serveControl(socket.listener, wg)
	client, err := wgctrl.New()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open WireGuard control client: %w", err), socket.close())
	}
	return &control{name: name, client: client, socket: socket}, nil
}

// serveControl answers on the control socket until it is closed.
func serveControl(listener net.Listener, wg *device.Device) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go wg.IpcHandle(conn)
	}
}

func (c *control) setKey(key wgtypes.Key) error {
	if err := c.client.ConfigureDevice(c.name, wgtypes.Config{PrivateKey: &key, ReplacePeers: true}); err != nil {
		return fmt.Errorf("set WireGuard key: %w", err)
	}
	return nil
}

// setPeer makes peer the only one. The one before is kept when it has the same key, and its session with it.
func (c *control) setPeer(before, peer Peer) error {
	interval := keepalive
	config := wgtypes.PeerConfig{
		PublicKey: peer.PublicKey, Endpoint: net.UDPAddrFromAddrPort(relayPlaceholder),
		ReplaceAllowedIPs: true, AllowedIPs: ipNets(peer.Allowed), PersistentKeepaliveInterval: &interval,
	}
	peers := []wgtypes.PeerConfig{config}
	if before.PublicKey != peer.PublicKey && before.PublicKey != (wgtypes.Key{}) {
		peers = []wgtypes.PeerConfig{{PublicKey: before.PublicKey, Remove: true}, config}
	}
	if err := c.client.ConfigureDevice(c.name, wgtypes.Config{Peers: peers}); err != nil {
		return fmt.Errorf("configure WireGuard peer: %w", err)
	}
	return nil
}

func ipNets(prefixes []netip.Prefix) []net.IPNet {
	nets := make([]net.IPNet, len(prefixes))
	for i, p := range prefixes {
		nets[i] = net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	}
	return nets
}

// counters returns the time of the last handshake and the bytes received and sent. After close they stay as they were.
func (c *control) counters() (handshake time.Time, received, sent uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); !c.closed && now.Sub(c.read) > countersFor {
		if d, err := c.client.Device(c.name); err == nil && len(d.Peers) > 0 {
			c.peer, c.read = d.Peers[0], now
			c.peer.PresharedKey = wgtypes.Key{}
		}
	}
	return c.peer.LastHandshakeTime, uint64(c.peer.ReceiveBytes), uint64(c.peer.TransmitBytes)
}

func (c *control) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return errors.Join(c.client.Close(), c.socket.close())
}
