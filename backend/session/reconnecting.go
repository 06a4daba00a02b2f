// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

const (
	// firstPause and longestPause are the waits between attempts to connect anew.
	firstPause   = 200 * time.Millisecond
	longestPause = 3 * time.Second
	// steadyAfter is how long an attempt must have lasted for its end to count as new trouble.
	steadyAfter = 30 * time.Second
)

// reconnecting says what went wrong and waits a moment before the next attempt: longer, the more have failed in a row.
func (r *run) reconnecting(cause error, failures int) {
	pause := firstPause
	for range failures - 1 {
		pause = min(2*pause, longestPause)
	}
	status := r.base(Reconnecting, "connecting anew")
	if !errors.Is(cause, errAgain) {
		status.Problem = problem.From(ExplainHelper(cause))
	}
	status.Since = &r.since
	r.board.show(status)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// errAgain ends an attempt without anything being wrong: what it was built on has changed.
var errAgain = errors.New("the connection has to be made anew")
