// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// run is one session from connecting to disconnected. It goes through its states in loop: connecting.go,
// connected.go, reconnecting.go, disconnecting.go.
type run struct {
	request *request
	deps    Dependencies
	board   *board
	log     *slog.Logger

	farewells *farewells

	patience patience

	ctx    context.Context
	cancel context.CancelFunc

	connectedOnce sync.Once
	connected     chan struct{} // closed when it was connected for the first time
	done          chan struct{} // closed when everything is put back
	err           error         // why it never connected; valid after done
	cleanupErr    error         // what could not be put back; valid after done

	switching sync.Mutex             // held by who switches the namespace
	switched  atomic.Pointer[string] // namespace, once it was switched
	turned    chan struct{}          // tells hold of that

	waiting int // callers of Connect that want it; Manager.mu guards it
	known   atomic.Pointer[surroundings]

	announced string    // name of the Connection in the cluster, empty before there is one
	key       string    // that it was announced with
	takenOver bool      // another program of the same user has the tunnel now, and perhaps the Connection
	since     time.Time // of the first connection

	inbound inbound
	offered bool // hooks have had a tunnel
	left    bool // hooks have left
}

// patience is how long is waited for what usually takes milliseconds.
type patience struct {
	// gateway bounds how long the gateway may take to answer a Connection. It covers a change of leader.
	gateway time.Duration
	// silence is how long the gateway may take before connecting looks whether there is one at all.
	silence time.Duration
	// answer bounds how long a new tunnel may stay without any answer.
	answer time.Duration
	// names is how long connecting waits for names to resolve once the gateway answers. Addresses work by then, so
	// names that don't are shown as a problem of a connection that is there.
	names time.Duration
	// note is how long the API server must be silent before that is worth a note.
	note time.Duration
	// switching is how long switching the namespace may take.
	switching time.Duration
	// farewell is the pause before a cluster that could not be told of a disconnect is told again, at first.
	farewell time.Duration
}

var usualPatience = patience{gateway: 15 * time.Second, silence: time.Second, answer: 12 * time.Second, names: 4 * time.Second, note: 5 * time.Second, switching: switchPatience, farewell: time.Second}

func newRun(m *Manager, r *request) *run {
	ctx, cancel := context.WithCancel(context.Background())
	return &run{
		request: r, patience: m.patience, deps: m.deps, board: m.board, farewells: m.farewells, log: m.deps.Log.With("context", r.access.Context()),
		ctx: ctx, cancel: cancel, connected: make(chan struct{}), turned: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// live reports whether r exists and has neither ended nor been told to.
func (r *run) live() bool { return r != nil && r.ctx.Err() == nil && !isClosed(r.done) }

// stop tells r, if it exists, to end. wait waits until it has.
func (r *run) stop() {
	if r != nil {
		r.cancel()
	}
}

func (r *run) wait() {
	if r != nil {
		<-r.done
	}
}

// await waits until r is connected, or never will be, or ctx ends.
func (r *run) await(ctx context.Context) error {
	select {
	case <-r.connected:
		return r.awaitAnswer(ctx)
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return interrupted(ctx.Err())
	}
}

// reconnectPatience is how long a second Connect waits for a session that is reconnecting.
const reconnectPatience = 15 * time.Second

// awaitAnswer waits, where the session was connected before and is reconnecting now, until it is connected again.
func (r *run) awaitAnswer(ctx context.Context) error {
	timer := time.NewTimer(reconnectPatience)
	defer timer.Stop()
	for {
		status, changed, _ := r.board.get()
		if status.State == Connected || isClosed(r.done) {
			return r.err
		}
		select {
		case <-changed:
		case <-r.done:
		case <-ctx.Done():
			return problem.New(problem.Cancelled, "See: fairlead status --watch.", "no longer waiting; the connection goes on trying")
		case <-timer.C:
			if status.Problem != nil {
				return status.Problem
			}
			return problem.New(problem.NoCarrier, "It keeps trying. See: fairlead status --watch.", "the connection is open, but the gateway does not answer at the moment")
		}
	}
}

func interrupted(cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return problem.New(problem.Timeout, "See: fairlead doctor.", "connecting took too long; everything has been put back")
	}
	return problem.New(problem.Cancelled, "", "connecting was interrupted; everything has been put back")
}

// loop is the life of the session.
func (r *run) loop() {
	defer close(r.done)
	defer r.request.access.Close()
	defer r.cancel()
	r.board.show(r.base(Connecting, "reading what is there"))
	failures := 0
	for r.ctx.Err() == nil {
		began := time.Now()
		err := r.attempt()
		if r.ctx.Err() != nil {
			break
		}
		r.log.Info("session interrupted", "error", err)
		if errors.Is(err, errReplaced) {
			r.announced = "" // it is the other session's now
		}
		r.takenOver = isTakenOver(err)
		if !isClosed(r.connected) || errors.Is(err, errReplaced) || r.takenOver {
			r.err = problem.From(ExplainHelper(err))
			break
		}
		if time.Since(began) > steadyAfter {
			failures = 0
		}
		failures++
		r.reconnecting(err, failures)
	}
	r.disconnecting()
}

// attempt connects once and stays until the connection is lost.
func (r *run) attempt() error {
	l, err := r.connect()
	if err != nil {
		return err
	}
	defer l.close()
	return l.hold()
}

// base is a Status with what is known from the start.
func (r *run) base(state State, step string) Status {
	return Status{
		State: state, Step: step,
		Context: r.request.access.Context(), Server: r.request.access.Server(), Namespace: r.namespace(),
		Carrier: CarrierStatus{Mode: r.request.carrier}, Gateway: GatewayStatus{Namespace: r.request.gatewayNamespace},
	}
}

// step says what is going on.
func (r *run) step(text string) {
	r.log.Debug("step", "step", text)
	r.board.update(func(s *Status) { s.Step = text })
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
