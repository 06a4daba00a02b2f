// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"net/netip"
)

// Modes are the ways to tell a machine's resolver, as they are shown to people.
const (
	modeResolved       = "systemd-resolved"
	modeNetworkManager = "networkmanager"
	modeResolvconf     = "resolvconf"
	modeFile           = "file"
	modeResolverFiles  = "resolver-files"
	modeNRPT           = "nrpt"
)

// system is one way to tell the machine's resolver where names of the cluster are answered. Only upstreams, disturbed
// and ask may be called at the same time as another method.
type system interface {
	mode() string

	// anyPort reports whether the resolver can be sent to another port than 53.
	anyPort() bool

	// apply makes the resolver follow p, in place of an earlier plan. Changes that outlive this process are in the
	// journal first. note says what of the plan the resolver can't do. When it fails, an earlier plan may be gone; what
	// apply itself changed is undone by revert.
	apply(ctx context.Context, p plan) (note string, err error)

	// revert puts the resolver back as it was, also after a failed apply. It is idempotent.
	revert(ctx context.Context) error

	// upstreams are the name servers that the machine used before, this package's own left out.
	upstreams() []netip.AddrPort

	// ask resolves a name as a program on this machine would.
	ask(ctx context.Context, name string) ([]netip.Addr, error)

	// disturbed yields when the plan must be applied again, because the resolver restarted or somebody else changed
	// its settings.
	disturbed() <-chan struct{}

	// close lets go of what the system watches. It is called once, after revert.
	close() error
}
