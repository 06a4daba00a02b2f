// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Dependencies are what a Manager works with. The zero value of each field but Version is usable.
type Dependencies struct {
	Version  string       // of this program, such as 0.1.0
	Helper   HelperDialer // nil is the helper of this machine
	Log      *slog.Logger // nil discards
	LaptopID string       // tells this laptop from the user's others; empty is a random one kept in the user's state folder
	Hooks    Hooks        // what lives inside the connection; nil is nothing
}

// Manager holds the one session of a user. Its methods are safe for concurrent use.
type Manager struct {
	deps      Dependencies
	patience  patience
	board     *board
	farewells *farewells

	mu     sync.Mutex
	run    *run // the latest; it may have ended
	closed bool
}

// NewManager returns a Manager that is disconnected.
func NewManager(d Dependencies) *Manager {
	if d.Helper == nil {
		d.Helper = SystemHelper()
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.LaptopID == "" {
		d.LaptopID = laptopID()
	}
	b := newBoard()
	return &Manager{deps: d, patience: usualPatience, board: b, farewells: newFarewells(b, d.Log)}
}

// Connect connects and returns when that is done, or with a *problem.Problem when it can't be: then everything has
// been put back. While connected with the same options it does nothing; with the same but for the namespace, it
// switches that; with others it reconnects with those, once
// all that can be known beforehand speaks for that: until then, what is connected stays. Cancelling ctx gives up; a
// connection that nobody else waits for is not made then, and everything is put back. Progress shows in Status.
func (m *Manager) Connect(ctx context.Context, o Options) error {
	r, err := newRequest(o)
	if err != nil {
		return spared(err, m.present())
	}
	present := m.present()
	if present != nil && isClosed(present.connected) && present.request.alike(r) {
		defer r.access.Close()
		if err := present.switchNamespace(ctx, r.access.Namespace()); err != nil {
			return spared(err, present)
		}
		return present.await(ctx)
	}
	if present != nil && !present.same(r) {
		if err := r.check(ctx, m.deps.Version, present.known.Load()); err != nil {
			r.access.Close()
			return spared(err, present)
		}
	}
	current, err := m.claim(r)
	if err != nil {
		return err
	}
	err = current.await(ctx)
	return m.leave(current, err, ctx.Err() != nil)
}

// present returns the run that is there, or nil.
func (m *Manager) present() *run {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run.live() {
		return m.run
	}
	return nil
}

// spared adds to an error that it has not cost the session that is there, if there is one.
func spared(err error, present *run) error {
	if present == nil {
		return err
	}
	p := *problem.From(err)
	p.Details = append(slices.Clone(p.Details), fmt.Sprintf("the connection to %s, namespace %s, stays as it is",
		present.request.access.Context(), present.namespace()))
	return &p
}

// claim returns the run that serves the request, for a caller that leaves it in the end. A run for other options is
// ended first.
func (m *Manager) claim(r *request) (*run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		r.access.Close()
		return nil, problem.New(problem.Cancelled, "", "Fairlead is shutting down")
	}
	if m.run.live() && m.run.same(r) {
		r.access.Close()
		m.run.waiting++
		return m.run, nil
	}
	before := m.run
	before.stop()
	m.run = newRun(m, r)
	m.run.waiting++
	go func(started *run) {
		before.wait()
		started.loop()
	}(m.run)
	return m.run, nil
}

// leave ends a caller's wait for a run, and returns what to tell it. The last that gives up ends a run that was never
// connected, and waits until everything is put back.
func (m *Manager) leave(r *run, outcome error, gaveUp bool) error {
	m.mu.Lock()
	r.waiting--
	others := r.waiting > 0
	unfinished := gaveUp && r.live() && !isClosed(r.connected)
	if unfinished && !others {
		r.stop()
	}
	m.mu.Unlock()
	switch {
	case !unfinished:
	case others:
		return problem.New(problem.Cancelled, "", "no longer waiting; connecting goes on, because somebody else waits for it: another 'fairlead connect', or the page")
	default:
		r.wait()
	}
	return outcome
}

// Disconnect ends the session and returns when everything is put back, or when ctx ends; it goes on then. Without a
// session it does nothing.
func (m *Manager) Disconnect(ctx context.Context) error {
	m.mu.Lock()
	current := m.run
	current.stop()
	m.mu.Unlock()
	if current == nil {
		return nil
	}
	select {
	case <-current.done:
		return current.cleanupErr
	case <-ctx.Done():
		return problem.Wrap(ctx.Err(), problem.Timeout, "It goes on in the background; see: fairlead status.", "disconnecting takes long")
	}
}

// Status returns what is true now.
func (m *Manager) Status() Status {
	status, _, _ := m.board.get()
	return status
}

// Watch delivers the Status now and after each change; changes that come faster than they are read are merged. The
// channel is closed when ctx is done or the Manager is closed.
func (m *Manager) Watch(ctx context.Context) <-chan Status { return m.board.watch(ctx) }

// Close disconnects and ends all watches. The Manager can't be used afterwards.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	current := m.run
	current.stop()
	m.mu.Unlock()
	m.farewells.close()
	current.wait()
	m.board.close()
}
