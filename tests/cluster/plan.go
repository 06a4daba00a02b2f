// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net/netip"
)

// Addresses that are the same in every cluster.
var (
	podRange4     = netip.MustParsePrefix("10.244.0.0/16")
	podRange6     = netip.MustParsePrefix("fd00:10:244::/56")
	serviceRange4 = netip.MustParsePrefix("10.96.0.0/16")
	serviceRange6 = netip.MustParsePrefix("fd00:10:96::/112")
	dnsService4   = netip.MustParseAddr("10.96.0.10")
	apiService4   = netip.MustParseAddr("10.96.0.1")

	// Public addresses are from the ranges for documentation (RFC 5737, RFC 3849).
	publicDNS4 = netip.MustParseAddr("203.0.113.53")
	publicWeb4 = netip.MustParseAddr("203.0.113.80")
	publicDNS6 = netip.MustParseAddr("2001:db8::53")
	publicWeb6 = netip.MustParseAddr("2001:db8::80")
)

// publicNames resolve everywhere. catalog.dev has a real top-level domain that namespaces are often named like.
var publicNames = []string{"www.example.com", "example.com", "catalog.dev"}

// maximumIndex bounds how many clusters can have a network of their own at once.
const maximumIndex = 100

// Member is a host on the cluster's local network.
type Member struct {
	// Name is node1, laptop1 and so on.
	Name string `json:"name"`
	// IPv4 and IPv6 are its addresses on eth0. IPv6 is invalid in an IPv4 cluster.
	IPv4 netip.Addr `json:"ipv4"`
	IPv6 netip.Addr `json:"ipv6"`
	// Pods4 and Pods6 are the ranges of its pods, for nodes.
	Pods4 netip.Prefix `json:"pods4"`
	Pods6 netip.Prefix `json:"pods6"`
}

// Addresses lists the member's addresses, IPv4 first.
func (m Member) Addresses() []netip.Addr {
	if m.IPv6.IsValid() {
		return []netip.Addr{m.IPv4, m.IPv6}
	}
	return []netip.Addr{m.IPv4}
}

// Plan is who has which address. It is a pure function of a Config and an index that no other cluster uses.
type Plan struct {
	Index   int          `json:"index"`
	Link4   netip.Prefix `json:"link4"`
	Link6   netip.Prefix `json:"link6"`
	Router  Member       `json:"router"`
	Nodes   []Member     `json:"nodes"`
	Laptops []Member     `json:"laptops"`
}

func makePlan(config Config, index int) Plan {
	plan := Plan{Index: index, Link4: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(100 + index), 0}), 24)}
	if config.Family == Dual {
		plan.Link6 = netip.MustParsePrefix(fmt.Sprintf("fd0f:a1:%x::/64", index+1))
	}
	plan.Router = plan.member("internet", 1)
	for i := range config.Nodes {
		node := plan.member(fmt.Sprintf("node%d", i+1), byte(11+i))
		node.Pods4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24)
		if config.Family == Dual {
			node.Pods6 = netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", i))
		}
		plan.Nodes = append(plan.Nodes, node)
	}
	for i := range config.Laptops {
		plan.Laptops = append(plan.Laptops, plan.member(fmt.Sprintf("laptop%d", i+1), byte(21+i)))
	}
	return plan
}

func (p Plan) member(name string, number byte) Member {
	base := p.Link4.Addr().As4()
	base[3] = number
	member := Member{Name: name, IPv4: netip.AddrFrom4(base)}
	if p.Link6.IsValid() {
		base := p.Link6.Addr().As16()
		base[15] = number
		member.IPv6 = netip.AddrFrom16(base)
	}
	return member
}

// dual tells if the plan has IPv6.
func (p Plan) dual() bool { return p.Link6.IsValid() }

// family joins an IPv4 and an IPv6 value as Kubernetes' flags take them.
func (p Plan) family(ipv4, ipv6 fmt.Stringer) string {
	if p.dual() {
		return ipv4.String() + "," + ipv6.String()
	}
	return ipv4.String()
}

// apiServer is the API server's URL for everything on the link.
func (p Plan) apiServer() string {
	return "https://" + netip.AddrPortFrom(p.Nodes[0].IPv4, 6443).String()
}
