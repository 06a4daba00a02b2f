// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// ErrRunning says that another daemon of this user serves the socket.
var ErrRunning = errors.New("a Fairlead daemon is already running")

// errHeld says that another process holds the socket, whether or not it answers.
var errHeld = errors.New("another process holds the daemon's socket")

const (
	claimTimeout = 10 * time.Second       // for an earlier daemon to end
	claimRetry   = 10 * time.Millisecond  // between tries meanwhile
	answerWithin = 500 * time.Millisecond // for an earlier daemon to say that it runs
)

// claim makes this process the one daemon of socket. While another one serves it, that is ErrRunning; while another one
// is about to end, claim waits. The claim ends with release, or with the process.
func claim(ctx context.Context, socket string) (listener net.Listener, release func(), err error) {
	deadline := time.Now().Add(claimTimeout)
	for {
		listener, release, err = hold(socket)
		if !errors.Is(err, errHeld) {
			return listener, release, err
		}
		if answers(ctx, socket) {
			return nil, nil, ErrRunning
		}
		if time.Now().After(deadline) {
			return nil, nil, problem.New(problem.Timeout,
				"Find the process that holds it, for example with 'fuser "+socket+".lock', and end it.",
				"another Fairlead daemon holds %s but does not answer", socket)
		}
		select {
		case <-time.After(claimRetry):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// answers reports whether a daemon serves the socket.
func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	client := localapi.NewClient(socket)
	defer client.Close()
	_, err := client.Version(ctx)
	return err == nil
}
