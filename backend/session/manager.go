// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"log/slog"
)

// Dependencies are what a Manager works with. The zero value of each field but Version is usable.
type Dependencies struct {
	Version  string       // of this program, such as 0.1.0
	Helper   HelperDialer // nil is the helper of this machine
	Log      *slog.Logger // nil discards
	LaptopID string       // tells this laptop from the user's others; empty is a random one kept in the user's state folder
}

// Manager holds the one session of a user. Its methods are safe for concurrent use.
type Manager struct{}

// NewManager returns a Manager that is disconnected.
func NewManager(d Dependencies) *Manager { return &Manager{} }

// Connect connects and returns when that is done, or with a *problem.Problem when it can't be: then everything has
// been put back. While connected with the same options it does nothing; with others it reconnects with those.
// Cancelling ctx gives up and puts everything back. Progress shows in Status.
func (m *Manager) Connect(ctx context.Context, o Options) error { return nil }

// Disconnect ends the session and returns when everything is put back. Without a session it does nothing.
func (m *Manager) Disconnect(ctx context.Context) error { return nil }

// Status returns what is true now.
func (m *Manager) Status() Status { return Status{State: Disconnected} }

// Watch delivers the Status now and after each change; changes that come faster than they are read are merged. The
// channel is closed when ctx is done or the Manager is closed.
func (m *Manager) Watch(ctx context.Context) <-chan Status { return nil }

// Close disconnects and ends all watches. The Manager can't be used afterwards.
func (m *Manager) Close() {}
