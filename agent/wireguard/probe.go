// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"fmt"
	"sync"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// probes knows who may probe.
type probes struct {
	private [32]byte
	mu      sync.RWMutex
	byHint  map[[8]byte]probePeer
}

type probePeer struct{ public, key [32]byte }

// AllowProbes has the Bind answer probes of a peer.
func (b *Bind) AllowProbes(publicKey [32]byte) error {
	key, err := carrier.ProbeKey(b.probes.private, publicKey)
	if err != nil {
		return fmt.Errorf("peer's public key: %w", err)
	}
	b.probes.mu.Lock()
	defer b.probes.mu.Unlock()
	b.probes.byHint[carrier.PeerHint(publicKey)] = probePeer{public: publicKey, key: key}
	return nil
}

// ForbidProbes ends that.
func (b *Bind) ForbidProbes(publicKey [32]byte) {
	b.probes.mu.Lock()
	defer b.probes.mu.Unlock()
	delete(b.probes.byHint, carrier.PeerHint(publicKey))
}

// answerProbe returns the reply to a probe, or nil for one that deserves none: then it is as if nobody were here.
func (b *Bind) answerProbe(datagram []byte, by Carrier, from conn.Endpoint) []byte {
	hint, err := carrier.ReadProbeHint(datagram)
	if err != nil {
		return nil
	}
	b.probes.mu.RLock()
	peer, ok := b.probes.byHint[hint]
	b.probes.mu.RUnlock()
	if !ok {
		return nil
	}
	probe, err := carrier.ParseProbe(datagram, peer.key)
	if err != nil || probe.Kind != carrier.ProbeRequest {
		return nil
	}
	if b.events.Probed != nil {
		b.events.Probed(peer.public, by, probe.TunnelMTU)
	}
	probe.Kind = carrier.ProbeReply
	if b.events.Session != nil {
		probe.NoSession, probe.Elsewhere = b.events.Session(peer.public, from.DstToString())
	}
	return carrier.AppendProbe(make([]byte, 0, probe.Size), probe, peer.key)
}
