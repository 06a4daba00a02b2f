// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

const (
	// helperEvery is how often the helper is asked how it is, while somebody watches and no session says so.
	helperEvery = 5 * time.Second
	// workloadsEvery is the least time between two signs that the list of workloads may have changed: each makes faces list
	// them all.
	workloadsEvery = 2 * time.Second
)

// lookOut keeps on the board what only watchers need, until ctx is done: how the helper is while there is no session, and
// in the connected cluster who intercepts what, and whether workloads change.
func (o *operations) lookOut(ctx context.Context) {
	helper := time.NewTicker(helperEvery)
	defer helper.Stop()
	stop := func() {}
	defer func() { stop() }()
	var seen place
	o.askHelperNow(ctx)
	for {
		status, changed, _ := o.board.session()
		if now := placeOf(status); now != seen {
			stop()
			seen, stop = now, func() {}
			if now.connected {
				stop = o.watchCluster(ctx, now)
			} else {
				o.board.update(func(f *facts) { f.everyone = nil })
			}
		}
		select {
		case <-changed:
		case <-helper.C:
			if status.State == session.Disconnected {
				o.askHelperNow(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

// place is which cluster is looked at, and from where.
type place struct {
	connected          bool
	context, namespace string
	connection         string
	since              int64
}

func placeOf(s localapi.Status) place {
	if !isConnected(s) || s.Since == nil {
		return place{}
	}
	return place{connected: true, context: s.Context, namespace: s.Namespace, connection: s.Connection, since: s.Since.UnixNano()}
}

// watchCluster watches the connected cluster until stop is called, which returns when that has ended.
func (o *operations) watchCluster(ctx context.Context, at place) (stop func()) {
	access, err := open(o.here(localapi.Target{}))
	if err != nil {
		o.log.Info("the connected cluster can't be watched", "error", err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watches sync.WaitGroup
	watches.Go(func() {
		_ = o.intercepts.WatchEveryone(ctx, access, at.namespace, func(all []localapi.Intercept) {
			o.board.update(func(f *facts) { f.everyone = all })
		})
	})
	changes := make(chan struct{}, 1)
	watches.Go(func() {
		_ = access.WatchWorkloadChanges(ctx, "", at.namespace, func() {
			select {
			case changes <- struct{}{}:
			default:
			}
		})
	})
	watches.Go(func() { o.countChanges(ctx, changes) })
	return func() {
		cancel()
		watches.Wait()
		access.Close()
	}
}

// countChanges makes the revision of workloads grow, the first time at once, then at most every workloadsEvery.
func (o *operations) countChanges(ctx context.Context, changes <-chan struct{}) {
	for {
		select {
		case <-changes:
			o.board.update(func(f *facts) { f.workloads++ })
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(workloadsEvery):
		case <-ctx.Done():
			return
		}
	}
}

// askHelperNow puts on the board how the helper is.
func (o *operations) askHelperNow(ctx context.Context) {
	helper, err := o.Helper(ctx)
	if err != nil || ctx.Err() != nil {
		return
	}
	o.board.update(func(f *facts) { f.helper, f.asked = helper, true })
}

// followSession puts on the board what is true of the session, until ctx is done, and asks the helper whenever the session comes,
// goes or meets trouble.
func (o *operations) followSession(ctx context.Context) {
	var last localapi.Status
	for status := range o.manager.Watch(ctx) {
		o.board.update(func(f *facts) { f.session = status })
		troubled := status.Problem != nil && (last.Problem == nil || last.Problem.Code != status.Problem.Code)
		if status.State != last.State || troubled {
			select {
			case o.askSoon <- struct{}{}:
			default:
			}
		}
		last = status
	}
}

// followHelper asks the helper when there is reason to, until ctx is done.
func (o *operations) followHelper(ctx context.Context) {
	for {
		select {
		case <-o.askSoon:
			o.askHelperNow(ctx)
		case <-ctx.Done():
			return
		}
	}
}
