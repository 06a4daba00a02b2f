// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"sync"
	"time"
)

const (
	// Kept is how many Records are kept.
	Kept = 500
	// batchEvery is how often who watches is told at most.
	batchEvery = 100 * time.Millisecond
	// mostPerSecond bounds the new Records that who watches is told of: people can't read more.
	mostPerSecond = 200
)

// Batch is what who watches is told at once.
type Batch struct {
	Records []Record // that are new or have changed, by number; Number, not place, says which is which
	Dropped uint64   // left out since the last Batch, because there were too many
}

// Log keeps the latest Records. Its methods are safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	last    uint64 // number of the latest
	version uint64 // grows with each change
	slots   [Kept]slot
	watches map[chan struct{}]struct{} // poked on changes
}

// slot is the place of a Record.
type slot struct {
	record  Record
	changed uint64 // version at which it last changed; 0 for an empty slot
}

// NewLog returns an empty Log.
func NewLog() *Log { return &Log{watches: map[chan struct{}]struct{}{}} }

// add puts a Record into the log and gives it its number.
func (l *Log) add(r *Record) {
	l.mu.Lock()
	l.last++
	r.Number = l.last
	l.put(r)
	l.mu.Unlock()
}

// update replaces a Record, unless it is too old to be kept.
func (l *Log) update(r *Record) {
	l.mu.Lock()
	if l.slots[r.Number%Kept].record.Number == r.Number {
		l.put(r)
	}
	l.mu.Unlock()
}

// put is add and update with l.mu held.
func (l *Log) put(r *Record) {
	l.version++
	l.slots[r.Number%Kept] = slot{*r, l.version}
	for poke := range l.watches {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
}

// Missed notes a request that was meant for this laptop and that it did not take.
func (l *Log) Missed(f Flow, method, path, why string) {
	protocol := TCP
	switch {
	case f.UDP:
		protocol = UDP
	case f.HTTP:
		protocol = HTTP
	}
	l.add(&Record{
		Intercept: f.Intercept, Time: time.Now(), Protocol: protocol, Method: showable(method, maxMethod), Path: showable(path, maxPath),
		Went: WentToCluster, Why: why, Client: f.Client,
	})
}

// Watch sends the Records of an intercept, or of all for the empty name: first all that are kept, then what is new or has
// changed, in batches. It closes the channel when ctx is done.
func (l *Log) Watch(ctx context.Context, intercept string) <-chan Batch {
	batches := make(chan Batch)
	poke := make(chan struct{}, 1)
	l.mu.Lock()
	l.watches[poke] = struct{}{}
	l.mu.Unlock()
	go func() {
		defer close(batches)
		defer func() {
			l.mu.Lock()
			delete(l.watches, poke)
			l.mu.Unlock()
		}()
		w := watcher{log: l, intercept: intercept, allowance: Kept, filled: time.Now()}
		send := func(b Batch) bool {
			select {
			case batches <- b:
				return true
			case <-ctx.Done():
				return false
			}
		}
		if !send(w.next(time.Now())) { // also an empty one, so that it is known that there is nothing
			return
		}
		for {
			select {
			case <-poke:
			case <-ctx.Done():
				return
			}
			if b := w.next(time.Now()); len(b.Records) > 0 || b.Dropped > 0 {
				if !send(b) {
					return
				}
			}
			select {
			case <-time.After(batchEvery):
			case <-ctx.Done():
				return
			}
		}
	}()
	return batches
}

// watcher is one who watches a Log. It is not safe for concurrent use.
type watcher struct {
	log       *Log
	intercept string
	version   uint64 // of the log, when it was last looked at
	last      uint64 // number of the latest Record then
	allowance float64
	filled    time.Time    // when allowance was last counted
	dropped   [Kept]uint64 // numbers of Records that were left out, by their slots
	chosen    []int        // slots, for reuse
}

// next is what has happened since it was last called.
func (w *watcher) next(now time.Time) Batch {
	w.allowance = min(w.allowance+now.Sub(w.filled).Seconds()*mostPerSecond, max(w.allowance, mostPerSecond))
	w.filled = now
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var b Batch
	if w.version > 0 && w.intercept == "" && l.last > w.last+Kept {
		b.Dropped = l.last - w.last - Kept // they are gone already
	}
	w.chosen = w.chosen[:0]
	fresh := 0
	for n := l.last - min(l.last, Kept) + 1; n <= l.last; n++ {
		i := int(n % Kept)
		s := &l.slots[i]
		if s.changed <= w.version || w.intercept != "" && s.record.Intercept != w.intercept || w.dropped[i] == n {
			continue
		}
		if n > w.last {
			fresh++
		}
		w.chosen = append(w.chosen, i)
	}
	// Too many: the latest are what people want to see.
	over := max(0, fresh-int(w.allowance))
	w.allowance -= float64(fresh - over)
	b.Records = make([]Record, 0, len(w.chosen)-over)
	for _, i := range w.chosen {
		r := &l.slots[i].record
		if r.Number > w.last && over > 0 {
			over--
			w.dropped[i] = r.Number
			b.Dropped++
			continue
		}
		b.Records = append(b.Records, *r)
	}
	w.version, w.last = l.version, l.last
	return b
}
