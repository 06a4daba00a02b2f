// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/clusterdns"
	"github.com/fairlead-dev/fairlead/agent/controller"
	"github.com/fairlead-dev/fairlead/agent/tunnel"
)

// statsAge is how old figures may be that the controller looks at, so that many Connections cost one reading.
const statsAge = time.Second

// peers lets laptops into the data plane and cluster DNS. It implements controller.Peers, tunnel.DNSHandler
// and flows.Laptops, and is safe for concurrent use.
type peers struct {
	tunnel *tunnel.Tunnel
	dns    *clusterdns.Server

	mu    sync.RWMutex
	keys  map[string][32]byte        // by the Connection's name
	views map[string]clusterdns.View // by the Connection's name

	readMu   sync.Mutex
	readAt   time.Time
	activity map[string]controller.Activity
}

func newPeers(dns *clusterdns.Server) *peers {
	return &peers{dns: dns, keys: make(map[string][32]byte), views: make(map[string]clusterdns.View)}
}

// SetPeer implements controller.Peers.
func (p *peers) SetPeer(peer controller.Peer) error {
	view := clusterdns.View{Namespace: peer.Namespace}
	member := tunnel.Peer{Name: peer.Name, PublicKey: peer.PublicKey, Laptop: peer.Laptop, Gateway: peer.Gateway}
	for _, m := range peer.Mappings {
		view.Mappings = append(view.Mappings, clusterdns.Mapping{Range: m.Range, Mapped: m.Mapped})
		member.Mappings = append(member.Mappings, tunnel.Mapping{Real: m.Range, Mapped: m.Mapped})
	}
	p.mu.Lock()
	before, known := p.keys[peer.Name]
	p.keys[peer.Name], p.views[peer.Name] = peer.PublicKey, view
	p.mu.Unlock()
	if known && before != peer.PublicKey {
		p.tunnel.RemovePeer(before)
	}
	return p.tunnel.SetPeer(member)
}

// RemovePeer implements controller.Peers.
func (p *peers) RemovePeer(name string) {
	p.mu.Lock()
	key, known := p.keys[name]
	delete(p.keys, name)
	delete(p.views, name)
	p.mu.Unlock()
	if known {
		p.tunnel.RemovePeer(key)
	}
}

// Activity implements controller.Peers.
func (p *peers) Activity(name string) controller.Activity {
	p.readMu.Lock()
	defer p.readMu.Unlock()
	if time.Since(p.readAt) > statsAge {
		if stats, err := p.tunnel.Stats(); err == nil {
			p.activity = make(map[string]controller.Activity, len(stats.Peers))
			for _, peer := range stats.Peers {
				heard := peer.LastHeard
				if heard.Before(peer.LastHandshake) {
					heard = peer.LastHandshake
				}
				p.activity[peer.Name] = controller.Activity{LastHandshake: peer.LastHandshake, LastHeard: heard, Carrier: peer.Carrier}
			}
		}
		p.readAt = time.Now()
	}
	return p.activity[name]
}

// Dial implements flows.Laptops.
func (p *peers) Dial(ctx context.Context, connection string, port uint16) (net.Conn, error) {
	key, known := p.key(connection)
	if !known {
		return nil, errors.New("the laptop is not connected")
	}
	return p.tunnel.DialTCP(ctx, key, port)
}

// Heard implements flows.Laptops.
func (p *peers) Heard(connection string) time.Time {
	key, known := p.key(connection)
	if !known {
		return time.Time{}
	}
	return p.tunnel.Heard(key)
}

func (p *peers) key(connection string) ([32]byte, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	key, known := p.keys[connection]
	return key, known
}

// ServeDNS implements tunnel.DNSHandler.
func (p *peers) ServeDNS(ctx context.Context, peer tunnel.Peer, query []byte, tcp bool) []byte {
	p.mu.RLock()
	view := p.views[peer.Name]
	p.mu.RUnlock()
	return p.dns.Answer(ctx, view, query, tcp)
}
