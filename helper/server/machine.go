// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

// Machine is the part of the operating system that carries packets. helper/tunnel implements it with types of its
// own; the helper's main package adapts them, so that neither package imports the other.
type Machine interface {
	// LocalRoutes returns the routes that the machine has without Fairlead, default routes left out, with the
	// interface and the program likely to own it.
	LocalRoutes(ctx context.Context) ([]api.LocalRoute, error)

	// Prepare makes the key pair of a session. It changes nothing on the machine.
	Prepare(ctx context.Context) (Prepared, error)
}

// Prepared is a session with a key and without a tunnel. Its methods are never called at the same time.
type Prepared interface {
	// PublicKey is the WireGuard public key in base64.
	PublicKey() string

	// Up makes device, addresses and routes. It leaves tunnel.DNS alone: the server does names afterwards. The peer's
	// addresses must be routed through the device as well, and are reachable as soon as Up returns and a carrier
	// works. Every change is recorded in journal before it is made. When Up fails, or ctx ends before it is done,
	// everything is put back before it returns; errors that people can act on are *api.Error, such as one with
	// CodeRouteConflict, which comes before anything is changed. It may be called again after it failed.
	Up(ctx context.Context, tunnel api.Tunnel, journal *restore.Journal) (Tunnel, error)

	// Close forgets the key. It is called once, after the Tunnel is closed if there was one.
	Close()
}

// Tunnel is a tunnel that is up. Status, Changed and ServeRelay may be called at any time, also after Close; Update and
// Close are never called at the same time as one another.
type Tunnel interface {
	// Device is the interface's name.
	Device() string

	// Status returns the parts that only the tunnel knows: Device, MTU, Carrier, UDP, Relay, Handshake, Received,
	// Sent, Notes. It is cheap: it is called at least every 500 ms for each watcher.
	Status() api.Status

	// Changed yields after anything in Status changed that a watcher should hear of at once (a carrier that answers
	// for the first time, falls silent, fails; another MTU), counters and times aside. Buffered by one and coalesced;
	// there is one reader.
	Changed() <-chan struct{}

	// Update applies all of change, or nothing and returns an error. Session and DNS are the server's and ignored.
	Update(ctx context.Context, change api.UpdateRequest) error

	// ServeRelay uses conn as the relay carrier until the stream ends, a later call replaces it, or ctx or the tunnel
	// ends; it closes conn. The greeting has not been exchanged yet. It returns nil when it was replaced or the
	// tunnel was closed, otherwise why the stream ended.
	ServeRelay(ctx context.Context, conn net.Conn) error

	// Close puts back everything that Up and Update changed. It goes on after errors and returns them joined; what
	// could not be undone stays in the journal.
	Close(ctx context.Context) error
}
