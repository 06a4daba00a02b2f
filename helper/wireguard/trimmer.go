// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// trimAfter is for how long there must be (almost) no traffic after a burst before memory is given back.
	trimAfter = 5 * time.Second
	// trimClosed is when memory is given back after a Device was closed: nobody refers to it any more then.
	trimClosed = time.Second
	// trimBurst is how many datagrams make a burst, trimQuiet how many in trimAfter are almost none.
	trimBurst = 2_000
	trimQuiet = 500
)

// trimmer decides when to give memory back to the system: some time after a burst, whose buffers WireGuard would keep
// for minutes. It is pure: time comes from outside. The zero value is ready.
type trimmer struct {
	burst bool
	count uint64    // of datagrams, when the present look began
	since time.Time // when that was
}

// due takes in how many datagrams were ever sent and received, and reports whether to trim now.
func (t *trimmer) due(now time.Time, datagrams uint64) bool {
	if now.Sub(t.since) < trimAfter {
		return false
	}
	moved := datagrams - t.count
	t.count, t.since = datagrams, now
	if moved >= trimBurst {
		t.burst = true
	}
	if !t.burst || moved > trimQuiet {
		return false
	}
	t.burst = false
	return true
}

// trim gives memory back. What is in a sync.Pool takes two collections to go.
func trim() {
	runtime.GC()
	debug.FreeOSMemory()
}
