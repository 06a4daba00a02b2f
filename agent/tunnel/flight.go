// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"sync"
	"time"
)

const (
	// maxFlight is how many packets may be inside WireGuard on their way out, and as many on their way in. Each takes a
	// buffer of 64 KiB there, and WireGuard itself has no bound: without this one, whatever is faster than the rest
	// would fill the memory.
	maxFlight = 1024
	// maxFlightBytes is how many bytes those packets may have: large ones, over relays, are as good in smaller number.
	maxFlightBytes = 4 << 20
	// flightStall is how long nothing may come out before what was thought to be inside counts as lost: WireGuard drops
	// packets without a word while it has no session with a peer, or when they are forged or repeated.
	flightStall = 20 * time.Millisecond
)

// flight counts the packets that have gone into WireGuard and not come out yet.
type flight struct {
	mu      sync.Mutex
	wake    sync.Cond
	packets int
	bytes   int
	moved   uint64 // changes whenever something comes out
}

func newFlight() *flight {
	f := &flight{}
	f.wake.L = &f.mu
	return f
}

func (f *flight) add(packets, bytes int) {
	f.mu.Lock()
	f.packets += packets
	f.bytes += bytes
	f.mu.Unlock()
}

// done notes that packets have come out. The bytes may have become a few more or less on the way, by padding.
func (f *flight) done(packets, bytes int) {
	f.mu.Lock()
	f.packets = max(f.packets-packets, 0)
	f.bytes = max(f.bytes-bytes, 0)
	if f.packets == 0 {
		f.bytes = 0
	}
	f.moved++
	f.mu.Unlock()
	f.wake.Broadcast()
}

// wait waits until there is room inside, or until nothing has come out for the time of a stall.
func (f *flight) wait(stall time.Duration) {
	f.waitFor(func() bool { return f.packets < maxFlight && f.bytes < maxFlightBytes }, stall)
}

// waitEmpty waits until nothing is inside, or until nothing has come out for the time of a stall.
func (f *flight) waitEmpty(stall time.Duration) {
	f.waitFor(func() bool { return f.packets == 0 }, stall)
}

func (f *flight) waitFor(reached func() bool, stall time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !reached() {
		moved, stalled := f.moved, false
		timer := time.AfterFunc(stall, func() {
			f.mu.Lock()
			stalled = true
			f.mu.Unlock()
			f.wake.Broadcast()
		})
		for !reached() && !stalled {
			f.wake.Wait()
		}
		timer.Stop()
		if stalled && f.moved == moved {
			f.packets, f.bytes = 0, 0
		}
	}
}
