// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"sync"
	"sync/atomic"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// reason says why a sidecar's connection was not let in.
type reason string

const (
	reasonOverloaded reason = "overloaded" // too many
	reasonHandshake  reason = "handshake"  // it did not get as far as a Hello
	reasonVersion    reason = "version"
	reasonMalformed  reason = "malformed"
	reasonCredential reason = "credential"
	reasonAddress    reason = "address"   // not the pod's
	reasonContainer  reason = "container" // not the pod's
	reasonUnknown    reason = "unknown"   // pod
)

// Stats are figures of a Server. Counters count since it was made.
type Stats struct {
	Sidecars  int // connected
	Strangers int // connections that have not proved yet whose they are
	Waiting   int // connections that wait for their flow
	Flows     int // open
	// Opened says how Opens were answered, by result; Refused why connections were not let in.
	Opened  map[wire.Result]uint64
	Refused map[string]uint64
	// ToLaptops and FromLaptops are the bytes that flows have moved.
	ToLaptops, FromLaptops uint64
}

type counters struct {
	toLaptop, fromLaptop atomic.Uint64

	mu      sync.Mutex
	opened  map[wire.Result]uint64
	reasons map[string]uint64
}

func (c *counters) answered(result wire.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened == nil {
		c.opened = make(map[wire.Result]uint64)
	}
	c.opened[result]++
}

func (c *counters) refused(why reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reasons == nil {
		c.reasons = make(map[string]uint64)
	}
	c.reasons[string(why)]++
}

// Stats returns the figures of the moment.
func (s *Server) Stats() Stats {
	stats := Stats{
		ToLaptops: s.counters.toLaptop.Load(), FromLaptops: s.counters.fromLaptop.Load(),
		Opened: make(map[wire.Result]uint64), Refused: make(map[string]uint64),
	}
	s.counters.mu.Lock()
	for result, n := range s.counters.opened {
		stats.Opened[result] = n
	}
	for why, n := range s.counters.reasons {
		stats.Refused[why] = n
	}
	s.counters.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Flows, stats.Strangers = s.flows, s.unproven
	for _, p := range s.pods {
		stats.Waiting += len(p.idle)
		if p.control != nil {
			stats.Sidecars++
		}
	}
	return stats
}
