// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"slices"
)

// Plan is what the machine must look like for the tunnel to carry its packets. The zero value is a machine without
// a tunnel.
type Plan struct {
	Device    string         // name of the tunnel's interface, which exists already
	Addresses []netip.Addr   // of the laptop: at most one IPv4 and one IPv6
	Routes    []netip.Prefix // what goes into the tunnel
	Exempt    []netip.Addr   // what never does, even where Routes cover it
}

// NewPlan makes a plan out of what a caller asked for: prefixes masked, duplicates and what a broader route covers
// left out, IPv4-mapped addresses unmapped, everything sorted. Routes and exemptions of a family that the laptop has no
// address for are left out, and so are exemptions that no route covers.
func NewPlan(device string, addresses []netip.Addr, routes []netip.Prefix, exempt []netip.Addr) Plan {
	plan := Plan{Device: device}
	for _, addr := range addresses {
		plan.Addresses = append(plan.Addresses, addr.Unmap().WithZone(""))
	}
	for _, prefix := range routes {
		if plan.source(prefix.Addr()).IsValid() {
			plan.Routes = append(plan.Routes, prefix.Masked())
		}
	}
	slices.SortFunc(plan.Addresses, netip.Addr.Compare)
	plan.Addresses = slices.Compact(plan.Addresses)
	plan.Routes = minimal(plan.Routes)
	for _, addr := range exempt {
		if addr = addr.Unmap().WithZone(""); plan.covers(addr) {
			plan.Exempt = append(plan.Exempt, addr)
		}
	}
	slices.SortFunc(plan.Exempt, netip.Addr.Compare)
	plan.Exempt = slices.Compact(plan.Exempt)
	return plan
}

// minimal sorts prefixes and leaves out those that another one covers.
func minimal(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var kept []netip.Prefix
	for _, p := range prefixes {
		if len(kept) > 0 && kept[len(kept)-1].Overlaps(p) { // sorted, so the one before is the broader one
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// source returns the laptop's tunnel address of the same family as addr, or the zero Addr when there is none.
func (p Plan) source(addr netip.Addr) netip.Addr {
	for _, a := range p.Addresses {
		if a.Is4() == addr.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// covers reports whether a route of the plan contains addr.
func (p Plan) covers(addr netip.Addr) bool {
	return slices.ContainsFunc(p.Routes, func(r netip.Prefix) bool { return r.Contains(addr) })
}

// families returns the address families that the plan routes, IPv4 first.
func (p Plan) families() []Family {
	var families []Family
	for _, a := range p.Addresses {
		families = append(families, familyOf(a))
	}
	slices.Sort(families)
	return slices.Compact(families)
}

// WithoutIPv6 returns the plan for a machine that has IPv6 turned off.
func (p Plan) WithoutIPv6() Plan {
	return Plan{
		Device:    p.Device,
		Addresses: slices.DeleteFunc(slices.Clone(p.Addresses), netip.Addr.Is6),
		Routes:    slices.DeleteFunc(slices.Clone(p.Routes), func(r netip.Prefix) bool { return r.Addr().Is6() }),
		Exempt:    slices.DeleteFunc(slices.Clone(p.Exempt), netip.Addr.Is6),
	}
}

// HasIPv6 reports whether the plan gives the laptop an IPv6 address.
func (p Plan) HasIPv6() bool { return slices.ContainsFunc(p.Addresses, netip.Addr.Is6) }
