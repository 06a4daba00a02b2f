// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func newWatcher(l *Log, intercept string, now time.Time) *watcher {
	return &watcher{log: l, intercept: intercept, allowance: Kept, filled: now}
}

func numbers(b Batch) string {
	text := ""
	for _, r := range b.Records {
		text += fmt.Sprint(" ", r.Number)
	}
	return fmt.Sprintf("%s, %d dropped", text, b.Dropped)
}

func TestWhoWatchesIsToldOfWhatIsNewOrHasChanged(t *testing.T) {
	l, now := NewLog(), time.Now()
	records := make([]*Record, 6)
	for i := range records {
		records[i] = &Record{Intercept: string("ab"[i%2]), Went: WentToLaptop, Open: true}
	}
	add := func(i int) { l.add(records[i]) }
	all, a := newWatcher(l, "", now), newWatcher(l, "a", now)
	expect := func(w *watcher, want string) {
		t.Helper()
		if got := numbers(w.next(now)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect(all, ", 0 dropped")
	add(0)
	add(1)
	add(2)
	expect(all, " 1 2 3, 0 dropped")
	expect(all, ", 0 dropped")
	records[0].Open = false
	l.update(records[0])
	add(3)
	expect(all, " 1 4, 0 dropped")
	expect(a, " 1 3, 0 dropped")
	records[1].Status = 200
	l.update(records[1])
	expect(a, ", 0 dropped")
	expect(all, " 2, 0 dropped")
}

func TestTooManyAreDropped(t *testing.T) {
	l, now := NewLog(), time.Now()
	w := newWatcher(l, "", now)
	for range 700 {
		l.add(&Record{})
	}
	if b := w.next(now); len(b.Records) != Kept || b.Records[0].Number != 201 || b.Dropped != 0 {
		t.Fatalf("at first: %s", numbers(b))
	}
	now = now.Add(time.Second)
	var last *Record
	first := &Record{}
	l.add(first)
	for range 249 {
		last = &Record{}
		l.add(last)
	}
	if b := w.next(now); len(b.Records) != mostPerSecond || b.Dropped != 50 || b.Records[len(b.Records)-1].Number != 950 {
		t.Fatalf("then: %s", numbers(b))
	}
	// What was dropped stays so; what was told is brought up to date.
	l.update(first)
	l.update(last)
	if b := w.next(now); len(b.Records) != 1 || b.Records[0].Number != last.Number {
		t.Fatalf("updates: %s", numbers(b))
	}
	now = now.Add(time.Hour)
	for range 2000 {
		l.add(&Record{})
	}
	if b := w.next(now); uint64(len(b.Records))+b.Dropped != 2000 || len(b.Records) != mostPerSecond {
		t.Fatalf("at last: %s", numbers(b))
	}
	// One that is no longer kept is not taken for its successor.
	l.update(first)
	if b := w.next(now); len(b.Records) != 0 {
		t.Fatalf("an old one: %s", numbers(b))
	}
}

func TestWatch(t *testing.T) {
	l := NewLog()
	l.Missed(Flow{Intercept: "a", HTTP: true, Client: "10.0.0.1"}, "GET", "/x\x00", "nothing listens")
	ctx, cancel := context.WithCancel(t.Context())
	batches := l.Watch(ctx, "a")
	b := <-batches
	if len(b.Records) != 1 || b.Records[0].Why != "nothing listens" || b.Records[0].Went != WentToCluster || b.Records[0].Path != "/x?" || b.Records[0].Protocol != HTTP {
		t.Errorf("got %+v", b)
	}
	l.Missed(Flow{Intercept: "b"}, "", "", "")
	l.Missed(Flow{Intercept: "a", UDP: true}, "", "", "")
	if b := <-batches; len(b.Records) != 1 || b.Records[0].Number != 3 {
		t.Errorf("got %+v", b)
	}
	cancel()
	for range batches {
	}
	if l.mu.Lock(); len(l.watches) != 0 {
		t.Error("a watch is left")
	}
	l.mu.Unlock()
}
