// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/splitdns"
)

// Names is the part of the operating system that resolves names: helper/splitdns behind an interface, for tests.
type Names interface {
	// Start answers the cluster's names on the tunnel's addresses and makes the machine ask there. When it fails,
	// everything is as before.
	Start(ctx context.Context, config splitdns.Config) (Resolver, error)
}

// Resolver is name resolution that is in place. Update and Close are never called at the same time.
type Resolver interface {
	Status() api.DNSStatus
	// Changed yields after Status changed; buffered by one and coalesced, with one reader.
	Changed() <-chan struct{}
	// Update applies all of config, or nothing and returns an error.
	Update(ctx context.Context, config splitdns.Config) error
	// Close puts name resolution back as it was.
	Close(ctx context.Context) error
}

// namesConfig derives what name resolution needs from a tunnel that is up.
func namesConfig(device string, tunnel api.Tunnel) splitdns.Config {
	return splitdns.Config{
		Device:        device,
		Addresses:     tunnel.Addresses,
		Gateway:       tunnel.Peer.Addresses,
		Routes:        tunnel.Routes,
		ClusterDomain: tunnel.DNS.ClusterDomain,
		Namespace:     tunnel.DNS.Namespace,
		Namespaces:    tunnel.DNS.Namespaces,
		Domains:       tunnel.DNS.Domains,
		Exclude:       tunnel.DNS.Exclude,
	}
}
