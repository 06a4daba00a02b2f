// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Daemon is what the window asks of the daemon, beside the page.
type Daemon interface {
	// Start makes sure that a daemon runs.
	Start(ctx context.Context) error
	// Page returns an address that opens the page once.
	Page(ctx context.Context) (localapi.Page, error)
	// WatchSnapshots calls each with the Snapshot now and on each change; it returns when the daemon is gone.
	WatchSnapshots(ctx context.Context, each func(localapi.Snapshot) error) error
	Contexts(ctx context.Context) ([]localapi.Context, error)
	Connect(ctx context.Context, context string) error
	Disconnect(ctx context.Context) error
	Leave(ctx context.Context, namespace, name string) error
}

const (
	// grace is how long a daemon that has gone may take to be replaced by whoever ended it, such as an upgrade.
	grace = time.Second
	// firstWait and longestWait are between tries to start a daemon that does not start.
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// Follow calls each with every snapshot of the daemon, and with nil while there is none, until ctx is done. It starts a
// daemon where none runs: a window without one can show nothing.
func Follow(ctx context.Context, d Daemon, each func(*localapi.Snapshot)) {
	wait := firstWait
	for ctx.Err() == nil {
		heard := false
		err := d.Start(ctx)
		if err == nil {
			_ = d.WatchSnapshots(ctx, func(s localapi.Snapshot) error {
				heard = true
				each(&s)
				return nil
			})
		}
		if ctx.Err() != nil {
			return
		}
		each(nil)
		if heard {
			wait = firstWait
			sleep(ctx, grace)
			continue
		}
		sleep(ctx, wait)
		wait = min(2*wait, longestWait)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func problemOf(err error) *problem.Problem {
	if errors.Is(err, localapi.ErrNotRunning) {
		return problem.New(problem.Internal, "It is being started again; try once more in a moment.", "the background program of Fairlead does not run")
	}
	return problem.From(err)
}
