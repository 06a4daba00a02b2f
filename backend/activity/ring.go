// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"slices"
	"time"
)

// Kept is how many events are kept.
const Kept = 200

// Log is what happened lately. The zero value is empty. It is not safe for concurrent use.
type Log struct {
	last   uint64
	newest []Event // first
}

// Add numbers events, which are in the order in which they happened, and dates those without a time to now.
func (l *Log) Add(now time.Time, events ...Event) {
	if len(events) == 0 {
		return
	}
	added := make([]Event, 0, min(len(events)+len(l.newest), Kept))
	for _, e := range slices.Backward(events) {
		if len(added) == Kept {
			break
		}
		added = append(added, e)
	}
	for i := range added {
		added[i].ID = l.last + uint64(len(events)-i)
		if added[i].Time.IsZero() {
			added[i].Time = now
		}
	}
	l.last += uint64(len(events))
	l.newest = append(added, l.newest[:min(len(l.newest), Kept-len(added))]...)
}

// Events returns what is kept, the newest first. The slice must not be written to; it stays as it is.
func (l *Log) Events() []Event { return l.newest }
