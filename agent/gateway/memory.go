// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// lookAtTraffic is how often the gateway looks at how much traffic there was, for its memory's sake.
	lookAtTraffic = 5 * time.Second
	// burstBytes in one look make a burst; at most quietBytes are almost nothing.
	burstBytes = 16 << 20
	quietBytes = 1 << 20
)

// keepMemorySmall gives memory back to the node when traffic ends, until ctx does. WireGuard and Go would hold on to the
// buffers of a burst for minutes, and a gateway is idle most of the time.
func (g *gateway) keepMemorySmall(ctx context.Context) error {
	tick := time.NewTicker(lookAtTraffic)
	defer tick.Stop()
	var watch burstWatch
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if plane := g.tunnel.Load(); plane != nil {
			stats, err := plane.Stats()
			if err != nil {
				return err
			}
			var bytes uint64
			for _, peer := range stats.Peers {
				bytes += peer.RxBytes + peer.TxBytes
			}
			if watch.over(bytes) {
				runtime.GC() // what is in a sync.Pool takes two collections to go
				debug.FreeOSMemory()
			}
		}
	}
}

// burstWatch notices the end of bursts of traffic. The zero value is ready.
type burstWatch struct {
	last  uint64
	burst bool
}

// over takes in how many bytes all peers that are there have moved so far, which is less than before when one has left,
// and reports whether a burst has just ended.
func (w *burstWatch) over(total uint64) bool {
	moved := total - min(w.last, total)
	w.last = total
	if moved >= burstBytes {
		w.burst = true
	}
	if !w.burst || moved > quietBytes {
		return false
	}
	w.burst = false
	return true
}
