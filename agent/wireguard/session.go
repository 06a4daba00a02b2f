// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Way is the way by which something came. It does not change.
type Way struct {
	Carrier Carrier
	Address netip.AddrPort // of UDP
	stream  *stream        // of a relay
}

// Full reports whether sending this way should be held back for a moment. A nil Way is never full.
func (w *Way) Full() bool { return w != nil && w.stream != nil && w.stream.full() }

// WireGuard messages (WireGuard paper, section 5.4): a type, three zero bytes, and the index that one end has given to
// the session: in handshakes the sender's, in data the receiver's.
const (
	messageInitiation = 1
	messageResponse   = 2
	messageData       = 4
	minMessageData    = 32

	// sessionLife is how long a session may be in use at most, with room to spare: WireGuard rejects it after 180 s.
	sessionLife = 5 * time.Minute
)

// sessions remember by which way each of our WireGuard sessions was last heard. Only sessions whose number we gave
// out ourselves are kept, so that forged datagrams can't fill memory. The zero value is ready.
type sessions struct {
	m      sync.Map // uint32 -> *session
	mu     sync.Mutex
	pruned time.Time
}

type session struct {
	way   atomic.Pointer[Way]
	since time.Time
}

// sent notes the sessions that datagrams on their way out begin. It returns how many packets are in the others, and how
// many bytes those have, with padding.
func (s *sessions) sent(datagrams [][]byte) (packets, bytes int) {
	for _, d := range datagrams {
		if len(d) < 8 || d[0] != messageInitiation && d[0] != messageResponse {
			if len(d) > minMessageData {
				packets++
				bytes += len(d) - minMessageData
			}
			continue
		}
		now := time.Now()
		s.m.Store(binary.LittleEndian.Uint32(d[4:]), &session{since: now})
		s.prune(now)
	}
	return packets, bytes
}

// prune forgets sessions that can't be in use any more.
func (s *sessions) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.pruned) < sessionLife/10 {
		return
	}
	s.pruned = now
	s.m.Range(func(index, value any) bool {
		if now.Sub(value.(*session).since) > sessionLife {
			s.m.Delete(index)
		}
		return true
	})
}

func (s *sessions) heardUDP(index uint32, from netip.AddrPort) {
	if known := s.find(index); known != nil {
		if old := known.way.Load(); old == nil || old.Carrier != UDP || old.Address != from {
			known.way.Store(&Way{Carrier: UDP, Address: from})
		}
	}
}

func (s *sessions) heardRelay(index uint32, from *stream) {
	if known := s.find(index); known != nil {
		known.way.Store(&from.way)
	}
}

func (s *sessions) find(index uint32) *session {
	if v, ok := s.m.Load(index); ok {
		return v.(*session)
	}
	return nil
}

func (s *sessions) way(index uint32) *Way {
	if known := s.find(index); known != nil {
		return known.way.Load()
	}
	return nil
}

// sessionOf returns the session that a datagram of data is for.
func sessionOf(p []byte) (uint32, bool) {
	if len(p) < minMessageData || p[0] != messageData {
		return 0, false
	}
	return binary.LittleEndian.Uint32(p[4:]), true
}
