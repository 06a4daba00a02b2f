// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"net/netip"
	"slices"
)

// Config is what name resolution is set up with. helper/api has checked every part of it.
type Config struct {
	// Device is the tunnel's interface.
	Device string
	// Addresses are the laptop's own inside the tunnel: the server listens there, port 53.
	Addresses []netip.Addr
	// Gateway are the gateway's addresses inside the tunnel: cluster DNS answers there, port 53.
	Gateway []netip.Addr
	// Routes are the ranges behind the tunnel: names of addresses in them are the cluster's to tell.
	Routes []netip.Prefix
	// ClusterDomain is such as cluster.local, without a final dot, in lower case.
	ClusterDomain string
	// Namespace is where unqualified names resolve.
	Namespace string
	// Namespaces are the last labels of service.namespace.
	Namespaces []string
	// Domains are asked of the cluster as they are, with all below them.
	Domains []string
	// Exclude are asked upstream, with all below them.
	Exclude []string
}

// searchDomain is what unqualified names are completed with, as in a pod.
func (c Config) searchDomain() string { return c.Namespace + ".svc." + c.ClusterDomain }

// equal reports whether two configurations ask for the same.
func (c Config) equal(o Config) bool {
	return c.Device == o.Device && c.ClusterDomain == o.ClusterDomain && c.Namespace == o.Namespace &&
		slices.Equal(c.Addresses, o.Addresses) && slices.Equal(c.Gateway, o.Gateway) &&
		slices.Equal(c.Routes, o.Routes) && slices.Equal(c.Namespaces, o.Namespaces) &&
		slices.Equal(c.Domains, o.Domains) && slices.Equal(c.Exclude, o.Exclude)
}
