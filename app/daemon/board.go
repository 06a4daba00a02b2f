// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

const (
	// snapshotEvery is the least time between two snapshots to one watcher: a screen shows no more.
	snapshotEvery = 100 * time.Millisecond
	// figuresEvery is how often figures that move all the time are shown: bytes, round trip, counts.
	figuresEvery = time.Second
)

// board joins all that is known into whole snapshots, and notes what happens. It is safe for concurrent use.
type board struct {
	mu      sync.Mutex
	facts   facts
	log     activity.Log
	known   localapi.Snapshot // all that is known
	shown   localapi.Snapshot // what watchers see: known, but for figures
	figures time.Time         // when those were shown last
	late    *time.Timer       // shows figures that are held back; nil if there are none
	changed chan struct{}     // closed and replaced whenever shown changes
	closed  bool
}

// facts are what snapshots are made of.
type facts struct {
	session  localapi.Status
	helper   localapi.Helper
	asked    bool                 // the helper has been
	everyone []localapi.Intercept // nil if not known

	// mended is why the last attempt failed, where that is no longer so.
	mended *problem.Problem

	workloads       uint64
	work            []localapi.Work
	settings        localapi.Settings
	settingsProblem *problem.Problem
}

func newBoard() *board {
	b := &board{changed: make(chan struct{}), facts: facts{session: localapi.Status{State: session.Disconnected}}}
	b.known = b.join(time.Now())
	b.shown = b.known
	return b
}

// update changes facts. Slices and pointers in them must be replaced, never written to: snapshots share them.
func (b *board) update(change func(*facts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.facts.state()
	change(&b.facts)
	now := time.Now()
	b.log.Add(now, activity.Diff(before, b.facts.state())...)
	b.look(now)
}

// note adds events to what happened.
func (b *board) note(events ...localapi.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.log.Add(now, events...)
	b.look(now)
}

// state is what events follow from.
func (f *facts) state() activity.State {
	return activity.State{Session: f.session, Everyone: f.everyone, Helper: activity.Condition{Known: f.asked, Problem: f.helper.Problem}}
}

// look shows what has changed: figures now and then, everything else at once. b.mu is held.
func (b *board) look(now time.Time) {
	next := b.join(now)
	switch {
	case b.closed || reflect.DeepEqual(next, b.known):
		return
	case !reflect.DeepEqual(withoutFigures(next), withoutFigures(b.known)) || now.Sub(b.figures) >= figuresEvery:
		b.known = next
		b.show(now)
	default:
		b.known = next
		if b.late == nil {
			b.late = time.AfterFunc(figuresEvery-now.Sub(b.figures), b.showLate)
		}
	}
}

func (b *board) showLate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late != nil && !b.closed {
		b.show(time.Now())
	}
}

// show makes what is known what watchers see. b.mu is held.
func (b *board) show(now time.Time) {
	if b.late != nil {
		b.late.Stop()
		b.late = nil
	}
	b.figures = now
	revision := b.shown.Revision + 1
	b.shown = b.known
	b.shown.Revision = revision
	close(b.changed)
	b.changed = make(chan struct{})
}

// join puts the facts together, without a revision. b.mu is held.
func (b *board) join(now time.Time) localapi.Snapshot {
	f := b.facts
	return localapi.Snapshot{
		Session: f.session, Helper: f.helper, Workloads: f.workloads, Settings: f.settings,
		Everyone: everyone(f), Work: present(f.underWay()), Activity: present(b.log.Events()),
		Problems: present(troubles(f, b.known.Problems, now)),
	}
}

// underWay is the work; that on the session itself says what step it is at.
func (f *facts) underWay() []localapi.Work {
	work := slices.Clone(f.work)
	for i := range work {
		if w := &work[i]; w.Step == "" && (w.What == workConnect || w.What == workDisconnect) {
			w.Step = f.session.Step
		}
	}
	return work
}

// everyone is who intercepts what; of this laptop's, what this laptop knows is newer and more.
func everyone(f facts) []localapi.Intercept {
	all := slices.Clone(f.session.Intercepts)
	for _, i := range f.everyone {
		if !slices.ContainsFunc(f.session.Intercepts, func(mine localapi.Intercept) bool { return mine.ID == i.ID }) {
			all = append(all, i)
		}
	}
	slices.SortStableFunc(all, func(x, y localapi.Intercept) int {
		switch a, b := x.Namespace+"/"+x.Name, y.Namespace+"/"+y.Name; {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	return present(all)
}

// present returns a list that is there, be it empty: in JSON a missing one is null.
func present[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// withoutFigures is a Snapshot without what moves all the time.
func withoutFigures(s localapi.Snapshot) localapi.Snapshot {
	s.Session.Received, s.Session.Sent = 0, 0
	s.Session.Carrier.RTT, s.Session.Carrier.LastAnswer = 0, nil
	s.Session.Intercepts = withoutCounts(s.Session.Intercepts)
	s.Everyone = withoutCounts(s.Everyone)
	return s
}

func withoutCounts(all []localapi.Intercept) []localapi.Intercept {
	bare := slices.Clone(all)
	for i := range bare {
		bare[i].Counts = session.InterceptCounts{}
	}
	return bare
}

// session returns what is known of the session, and a channel that is closed when something is shown anew.
func (b *board) session() (localapi.Status, <-chan struct{}, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.facts.session, b.changed, b.closed
}

// get returns what watchers see, a channel that is closed when that changes, and whether the board is closed for good.
func (b *board) get() (localapi.Snapshot, <-chan struct{}, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shown, b.changed, b.closed
}

// close ends all watches.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.changed)
	}
	if b.late != nil {
		b.late.Stop()
		b.late = nil
	}
}

// watch delivers the snapshot now and after changes, until ctx is done or the board is closed. A reader that is slow
// gets the newest.
func (b *board) watch(ctx context.Context) <-chan localapi.Snapshot {
	out := make(chan localapi.Snapshot)
	go func() {
		defer close(out)
		pause := time.NewTimer(0)
		defer pause.Stop()
		for {
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
			snapshot, changed, closed := b.get()
			if closed {
				return
			}
			for sent := false; !sent; {
				select {
				case out <- snapshot:
					sent = true
				case <-changed:
					if snapshot, changed, closed = b.get(); closed {
						return
					}
				case <-ctx.Done():
					return
				}
			}
			pause.Reset(snapshotEvery)
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
