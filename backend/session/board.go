// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// board shows the Status to whoever watches.
type board struct {
	mu     sync.Mutex
	status Status
	// intercepts are in every Status; they come and go by themselves.
	intercepts []Intercept
	changed    chan struct{} // closed and replaced on each change
	closed     bool
}

func newBoard() *board {
	return &board{status: Status{State: Disconnected}, changed: make(chan struct{})}
}

// show makes s what is true now.
func (b *board) show(s Status) { b.update(func(old *Status) { *old = s }) }

// update changes what is true now. The slices and pointers in a Status must be replaced, never written to: watchers
// share them.
func (b *board) update(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.status
	change(&next)
	next.Intercepts = trueOf(b.intercepts, next.State)
	if b.closed || reflect.DeepEqual(next, b.status) {
		return
	}
	b.status = next
	close(b.changed)
	b.changed = make(chan struct{})
}

// trueOf is what can be said of intercepts: none is active while nothing gets through to this laptop, whatever the cluster
// said last.
func trueOf(intercepts []Intercept, state State) []Intercept {
	if state == Connected {
		return intercepts
	}
	said := slices.Clone(intercepts)
	for i := range said {
		if said[i].Phase == string(v1alpha1.InterceptActive) {
			said[i].Phase = string(v1alpha1.InterceptSuspended)
			said[i].Message = "this laptop is not connected at the moment; the app gets the requests"
		}
	}
	return said
}

// showIntercepts makes them part of what is true now. The slice must not be written to afterwards.
func (b *board) showIntercepts(intercepts []Intercept) {
	b.mu.Lock()
	b.intercepts = intercepts
	b.mu.Unlock()
	b.update(func(*Status) {})
}

// get returns what is true now, a channel that is closed when that changes, and whether the board is closed for good.
func (b *board) get() (Status, <-chan struct{}, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status, b.changed, b.closed
}

// close ends all watches.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.changed)
	}
}

// watch delivers the Status now and after each change; a reader that is slow gets the newest.
func (b *board) watch(ctx context.Context) <-chan Status {
	out := make(chan Status)
	go func() {
		defer close(out)
		for {
			status, changed, closed := b.get()
			if closed {
				return
			}
			select {
			case out <- status:
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
