// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/carrier"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// link is one attempt's hold on the helper and on the cluster: the session in the helper, the Connection in the
// cluster, the relay between the two. One goroutine, that of run.loop, owns its fields; goroutines in the background
// talk to it over its channels.
type link struct {
	run       *run
	access    *cluster.Access
	namespace string // of the gateway
	ctx       context.Context
	cancel    context.CancelFunc

	background sync.WaitGroup

	// carrying ends after ctx: what is left at the end still needs a way.
	carrying    context.Context
	stopCarrier context.CancelFunc
	offered     bool // to the hooks

	// Of the helper.
	helper   Helper
	prepared api.PrepareReply
	tunnel   api.Tunnel // as it was applied last
	status   api.Status // as it was reported last
	heard    time.Time  // when that was
	// receivedAt is when the tunnel was last known to have received something.
	receivedAt time.Time
	isUp       chan struct{}
	statuses   chan api.Status
	lost       chan error // the helper is gone

	// Of the cluster.
	user       string
	name       string // of the Connection
	spec       v1alpha1.ConnectionSpec
	generation int64 // that an answer must be to
	connection *v1alpha1.Connection
	answer     answer
	mappings   []Mapping
	following  bool
	changes    chan *v1alpha1.Connection // the newest
	changed    bool                      // connection has not been acted on yet
	gone       chan struct{}             // the Connection was deleted
	failed     chan error                // the cluster refuses to show it
	again      chan struct{}             // begin the watch anew
	announced  chan announcement         // results of announcing in the background
	announcing bool
	apiTrouble atomic.Pointer[trouble]

	// Of the carriers.
	keeper       *carrier.Keeper
	relayChanged chan struct{}
	policy       *carrier.Policy
	decision     carrier.Decision
	renewed      time.Time // when the relay was last opened anew for its silence
	answeredAt   time.Time // when the gateway first answered a probe
	freshAt      time.Time // when it last had answered lately
	wasFresh     bool      // it had, when that was last looked at

	// What is wrong though the tunnel may work: with the cluster's side, with the helper's.
	clusterProblem error
	helperProblem  error
}

// trouble is an error and since when there is one.
type trouble struct {
	err   error
	since time.Time
}

// announcement is the result of ApplyConnection.
type announcement struct {
	connection *v1alpha1.Connection
	err        error
}

func newLink(r *run) *link {
	ctx, cancel := context.WithCancel(r.ctx)
	l := &link{
		run: r, access: r.request.access, namespace: r.request.gatewayNamespace, ctx: ctx, cancel: cancel,
		isUp: make(chan struct{}), statuses: make(chan api.Status, 1), lost: make(chan error, 1),
		changes: make(chan *v1alpha1.Connection, 1), gone: make(chan struct{}, 1), failed: make(chan error, 1),
		again: make(chan struct{}, 1), announced: make(chan announcement, 1), relayChanged: make(chan struct{}, 1),
	}
	l.carrying, l.stopCarrier = context.WithCancel(context.WithoutCancel(r.ctx))
	dialer := carrier.NewDialer(l.access.RESTConfig())
	l.keeper = &carrier.Keeper{
		Open: func(ctx context.Context, target carrier.Target) (io.ReadWriteCloser, error) {
			stream, err := dialer.Dial(ctx, target)
			if err != nil {
				action := cluster.Action{Verb: "get", Resource: "pods/portforward", Namespace: target.Namespace}
				return nil, cluster.Classify(err, action, cluster.Subject{Server: l.access.Server(), Context: l.access.Context()})
			}
			return stream, nil
		},
		Hand:    l.hand,
		Changed: func(carrier.KeeperStatus) { wake(l.relayChanged) },
		Log:     r.log,
	}
	return l
}

// guess names a pod to relay through as long as the gateway has not named one.
func (l *link) guess(target carrier.Target) {
	if !l.keeper.Status().Target.Valid() {
		l.keeper.SetTarget(target)
	}
}

// downTimeout bounds how long the helper may take to put everything back.
const downTimeout = 10 * time.Second

// close takes the tunnel down and lets go of everything but the Connection. It returns when that is done.
func (l *link) close() {
	l.retract()
	if l.run.ctx.Err() != nil && isClosed(l.isUp) {
		l.run.board.update(func(s *Status) { s.State, s.Step = Disconnecting, "putting everything back" })
	}
	if l.helper != nil && l.prepared.Session != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), downTimeout)
		if err := l.helper.Down(ctx, l.prepared.Session); err != nil {
			l.run.log.Info("helper did not confirm that everything is put back", "error", err)
			if l.run.ctx.Err() != nil {
				l.run.cleanupErr = ExplainHelper(err)
			}
		}
		cancel()
	}
	l.cancel()
	l.stopCarrier()
	if l.helper != nil {
		_ = l.helper.Close() // ends the session in the helper, should it still be there
	}
	l.background.Wait()
}

// watchHelper hands on what the helper reports, until it is gone.
func (l *link) watchHelper() {
	err := l.helper.Watch(l.ctx, l.prepared.Session, func(s api.Status) bool {
		offer(l.statuses, s)
		return l.ctx.Err() == nil
	})
	if l.ctx.Err() == nil {
		offer(l.lost, fmt.Errorf("%w: %w", errHelperLost, err))
	}
}

const (
	// firstRewatch and longestRewatch are the pauses before a watch that failed is begun anew.
	firstRewatch   = 100 * time.Millisecond
	longestRewatch = 3 * time.Second
)

// follow watches the Connection until the link ends. It starts over when a watch ends or fails, and after rewatch.
func (l *link) follow(since string) {
	pause := firstRewatch
	for l.ctx.Err() == nil {
		ctx, cancel := context.WithCancel(l.ctx)
		go func() {
			select {
			case <-l.again:
				cancel()
			case <-ctx.Done():
			}
		}()
		began := time.Now()
		err := l.access.WatchConnection(ctx, l.namespace, l.name, since, func(c *v1alpha1.Connection) error {
			l.apiTrouble.Store(nil)
			offer(l.changes, c)
			return nil
		})
		restarted := ctx.Err() != nil
		cancel()
		since = ""
		if time.Since(began) > longestRewatch {
			pause = firstRewatch
		}
		switch {
		case l.ctx.Err() != nil:
			return
		case restarted:
			l.access.Reset()
			continue
		case errors.Is(err, cluster.ErrConnectionGone):
			wake(l.gone)
			select {
			case <-l.again:
			case <-l.ctx.Done():
			}
			continue
		case !errors.Is(err, cluster.ErrWatchEnded):
			l.troubled(err)
		}
		l.run.log.Debug("watch ended", "error", err)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
		}
		pause = min(2*pause, longestRewatch)
	}
}

// troubled notes that the API server does not show the Connection. A refusal is a problem once it has lasted: an API
// server that has just started refuses for a moment what it allows.
func (l *link) troubled(err error) {
	since := time.Now()
	if before := l.apiTrouble.Load(); before != nil {
		since = before.since
	}
	l.apiTrouble.Store(&trouble{err, since})
	if isFatal(err) && (!isClosed(l.isUp) || time.Since(since) > l.run.patience.note) {
		offer(l.failed, err)
	}
}

// rewatch begins the watch of the Connection anew, with its present state.
func (l *link) rewatch() { wake(l.again) }

// offer puts the newest value into a channel of one, in place of one that nobody has taken. There is one sender.
func offer[T any](c chan T, value T) {
	select {
	case <-c:
	default:
	}
	select {
	case c <- value:
	default:
	}
}

// wake puts a signal into a channel of one, unless there is one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
