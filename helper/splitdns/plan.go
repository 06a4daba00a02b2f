// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// plan is what the machine's resolver is to be told.
type plan struct {
	device  string
	servers []netip.Addr // this package's own server
	port    uint16
	search  string // unqualified names are completed with it
	// domains are asked of servers, with everything below them: the most important first, so that a resolver that
	// takes only so many is told of those.
	domains []string
}

// maxReverseZones bounds the zones of all ranges together, so that they leave room for namespaces. Names of addresses
// are a convenience.
const maxReverseZones = 100

func newPlan(c Config, servers []netip.Addr, port uint16) plan {
	domains := append([]string{c.ClusterDomain, "svc"}, c.Domains...)
	reverse := map[string]bool{}
	for _, route := range c.Routes {
		for _, zone := range reverseZones(route) {
			reverse[zone] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(reverse))
	domains = append(domains, sorted[:min(len(sorted), maxReverseZones)]...)
	namespaces := slices.Clone(c.Namespaces)
	slices.Sort(namespaces)
	for _, namespace := range append([]string{c.Namespace}, namespaces...) {
		if !slices.Contains(neverLabels, namespace) && !slices.Contains(domains, namespace) && !slices.Contains(c.Exclude, namespace) {
			domains = append(domains, namespace)
		}
	}
	return plan{device: c.Device, servers: servers, port: port, search: c.searchDomain(), domains: domains}
}

// first returns at most n domains, and a sentence on what was left out, or nothing.
func (p plan) first(n int) (domains []string, note string) {
	if len(p.domains) <= n {
		return p.domains, ""
	}
	return p.domains[:n], fmt.Sprintf("the machine's resolver takes %d domains, so %d namespaces need full names, "+
		"such as <service>.<namespace>.svc", n, len(p.domains)-n)
}

// String renders the plan for logs and tests.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "device %s\n", p.device)
	for _, server := range p.servers {
		fmt.Fprintf(&b, "server %s\n", netip.AddrPortFrom(server, p.port))
	}
	fmt.Fprintf(&b, "search %s\n", p.search)
	for _, domain := range p.domains {
		fmt.Fprintf(&b, "domain %s\n", domain)
	}
	return b.String()
}

// plannedFile is a file to be written.
type plannedFile struct {
	path    string
	content string
}
