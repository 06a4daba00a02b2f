// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"log/slog"
	"sync"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Dependencies are what a Manager works with. The zero value of each field but Version is usable.
type Dependencies struct {
	Version  string       // of this program, such as 0.1.0
	Helper   HelperDialer // nil is the helper of this machine
	Log      *slog.Logger // nil discards
	LaptopID string       // tells this laptop from the user's others; empty is a random one kept in the user's state folder
}

// Manager holds the one session of a user. Its methods are safe for concurrent use.
type Manager struct {
	deps     Dependencies
	patience patience
	board    *board

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
	return &Manager{deps: d, patience: usualPatience, board: newBoard()}
}

// Connect connects and returns when that is done, or with a *problem.Problem when it can't be: then everything has
// been put back. While connected with the same options it does nothing; with others it reconnects with those, once
// they have been found to make sense. Cancelling ctx gives up and puts everything back. Progress shows in Status.
func (m *Manager) Connect(ctx context.Context, o Options) error {
	r, err := newRequest(o)
	if err != nil {
		return err
	}
	current, started, err := m.claim(r)
	if err != nil {
		return err
	}
	return current.await(ctx, started)
}

// claim returns the run that serves the request, and whether it has been started for it. A run for other options is
// ended first.
func (m *Manager) claim(r *request) (*run, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		r.access.Close()
		return nil, false, problem.New(problem.Cancelled, "", "Fairlead is shutting down")
	}
	if m.run.live() && m.run.request.same(r) {
		r.access.Close()
		return m.run, false, nil
	}
	before := m.run
	before.stop()
	m.run = newRun(m, r)
	go func(started *run) {
		before.wait()
		started.loop()
	}(m.run)
	return m.run, true, nil
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
	current.wait()
	m.board.close()
}
