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
	// flightStall is how long nothing may come out before what was thought to be inside counts as lost: WireGuard drops
	// packets without a word while it has no session with a peer, or when they are forged or repeated.
	flightStall = 20 * time.Millisecond
)

// flight counts the packets that have gone into WireGuard and not come out yet.
type flight struct {
	mu    sync.Mutex
	wake  sync.Cond
	count int
	moved uint64 // changes whenever something comes out
}

func newFlight() *flight {
	f := &flight{}
	f.wake.L = &f.mu
	return f
}

func (f *flight) add(n int) {
	f.mu.Lock()
	f.count += n
	f.mu.Unlock()
}

// done notes that n packets have come out.
func (f *flight) done(n int) {
	f.mu.Lock()
	f.count = max(f.count-n, 0)
	f.moved++
	f.mu.Unlock()
	f.wake.Broadcast()
}

// waitBelow waits until fewer than n packets are inside, or until nothing has come out for the time of a stall.
func (f *flight) waitBelow(n int, stall time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.count >= n {
		moved, stalled := f.moved, false
		timer := time.AfterFunc(stall, func() {
			f.mu.Lock()
			stalled = true
			f.mu.Unlock()
			f.wake.Broadcast()
		})
		for f.count >= n && !stalled {
			f.wake.Wait()
		}
		timer.Stop()
		if stalled && f.moved == moved {
			f.count = 0
		}
	}
}
