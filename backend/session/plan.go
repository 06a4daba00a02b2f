// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

const routeConflictHint = "Reach the cluster's range under other addresses with --map-conflicts, leave it out with --exclude, or disconnect the other network first."

// planInput is all that the routes of a session depend on.
type planInput struct {
	Ranges       []netip.Prefix // of the cluster
	Include      []netip.Prefix // by the user, besides
	Exclude      []netip.Prefix // by the user
	Local        []api.LocalRoute
	Reserved     []netip.Prefix // that no range may be mapped onto: the tunnel's own addresses, the API server
	MapConflicts bool
}

// plan is what is routed into the tunnel, as the laptop sees it.
type plan struct {
	Routes   []netip.Prefix
	Mappings []Mapping
}

// planRoutes decides what is routed into the tunnel: the cluster's ranges and what the user includes, less what the
// user excludes. A range that overlaps a network of this machine is mapped onto addresses that are free, if the user
// wants that, and otherwise a problem.RouteConflict that names the interface.
func planRoutes(in planInput) (plan, error) {
	var p plan
	var conflicts []api.Conflict
	wanted := tidy(slices.Concat(in.Ranges, in.Include))
	taken := slices.Concat(wanted, in.Reserved, in.Exclude)
	for _, route := range in.Local {
		taken = append(taken, route.Prefix)
	}
	for _, prefix := range wanted {
		pieces := subtractAll(prefix, in.Exclude)
		found := findConflicts(pieces, in.Local)
		switch {
		case len(found) == 0:
			p.Routes = append(p.Routes, pieces...)
		case !in.MapConflicts:
			conflicts = append(conflicts, found...)
		default:
			mapped, ok := freePrefix(prefix, taken)
			if !ok {
				return plan{}, problem.New(problem.RouteConflict, "Leave the range out with --exclude, or disconnect the other network first.",
					"there are no free private addresses to map the cluster's range %s onto; it overlaps %s", prefix, describeRoute(found[0].Existing))
			}
			taken = append(taken, mapped)
			p.Routes = append(p.Routes, mapped)
			p.Mappings = append(p.Mappings, Mapping{Range: prefix, Mapped: mapped, Because: describeRoute(found[0].Existing)})
		}
	}
	if len(conflicts) > 0 {
		return plan{}, conflictProblem(conflicts)
	}
	p.Routes = tidy(p.Routes)
	return p, nil
}

// conflictProblem names every overlap.
func conflictProblem(conflicts []api.Conflict) *problem.Problem {
	first := conflicts[0]
	p := problem.New(problem.RouteConflict, routeConflictHint, "the cluster's range %s overlaps %s of this machine; nothing was changed",
		first.Wanted, describeRoute(first.Existing))
	for _, c := range conflicts {
		p.Details = append(p.Details, fmt.Sprintf("%s overlaps %s", c.Wanted, describeRoute(c.Existing)))
	}
	return p
}

// describeRoute names a route of the machine for people.
func describeRoute(r api.LocalRoute) string {
	text := fmt.Sprintf("route %s on interface %s", r.Prefix, r.Interface)
	if r.Owner != "" {
		text += " (" + r.Owner + ")"
	}
	return text
}

// findConflicts returns the overlaps between wanted prefixes and routes of the machine.
func findConflicts(wanted []netip.Prefix, local []api.LocalRoute) []api.Conflict {
	var conflicts []api.Conflict
	for _, w := range wanted {
		for _, route := range local {
			if route.Prefix.Bits() > 0 && w.Overlaps(route.Prefix) {
				conflicts = append(conflicts, api.Conflict{Wanted: w, Existing: route})
			}
		}
	}
	return conflicts
}

// mappingPools are the private addresses that ranges are mapped onto, best first: 10/8 and 172.16/12 of RFC 1918 (from
// the top, where fewer networks are), then the shared space of RFC 6598.
var mappingPools = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("100.64.0.0/10"),
}

// mappingPool6 is the prefix of RFC 4193 addresses that ranges are mapped onto.
var mappingPool6 = netip.MustParsePrefix("fdfa:1ead::/32")

// freePrefix finds a prefix of the size of wanted that overlaps nothing taken.
func freePrefix(wanted netip.Prefix, taken []netip.Prefix) (netip.Prefix, bool) {
	pools := mappingPools
	if wanted.Addr().Is6() {
		pools = []netip.Prefix{mappingPool6}
	}
	for _, pool := range pools {
		if free, ok := lastFree(pool, wanted.Bits(), taken); ok {
			return free, true
		}
	}
	return netip.Prefix{}, false
}

// lastFree returns the last prefix of the given length inside pool that overlaps nothing taken.
func lastFree(pool netip.Prefix, bits int, taken []netip.Prefix) (netip.Prefix, bool) {
	if bits < pool.Bits() || covered(pool, taken) {
		return netip.Prefix{}, false
	}
	if !slices.ContainsFunc(taken, pool.Overlaps) {
		for pool.Bits() < bits {
			_, pool = halves(pool)
		}
		return pool, true
	}
	if bits == pool.Bits() {
		return netip.Prefix{}, false
	}
	low, high := halves(pool)
	if free, ok := lastFree(high, bits, taken); ok {
		return free, true
	}
	return lastFree(low, bits, taken)
}

// covered reports whether one of the prefixes holds all of p.
func covered(p netip.Prefix, by []netip.Prefix) bool {
	return slices.ContainsFunc(by, func(b netip.Prefix) bool { return b.Bits() <= p.Bits() && b.Overlaps(p) })
}

// subtractAll returns what is left of p without any of the others, in order.
func subtractAll(p netip.Prefix, others []netip.Prefix) []netip.Prefix {
	left := []netip.Prefix{p}
	for _, other := range others {
		var next []netip.Prefix
		for _, piece := range left {
			next = append(next, subtract(piece, other)...)
		}
		left = next
	}
	return left
}

// subtract returns what is left of p without other.
func subtract(p, other netip.Prefix) []netip.Prefix {
	switch {
	case !p.Overlaps(other):
		return []netip.Prefix{p}
	case other.Bits() <= p.Bits():
		return nil
	}
	low, high := halves(p)
	return append(subtract(low, other), subtract(high, other)...)
}

// halves splits a prefix, which must be longer than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	low = netip.PrefixFrom(p.Masked().Addr(), bits)
	bytes := low.Addr().AsSlice()
	bytes[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	addr, _ := netip.AddrFromSlice(bytes)
	return low, netip.PrefixFrom(addr, bits)
}

// tidy sorts prefixes and leaves out those that others cover.
func tidy(prefixes []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
	var kept []netip.Prefix
	for _, p := range sorted {
		if !covered(p, kept) {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return kept
}

// maxUnavailable is how many ranges a Connection may name as unavailable.
const maxUnavailable = 64

// tunnelSpace is where gateways take tunnel addresses from: what matters most of what is unavailable.
var tunnelSpace = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("fc00::/7")}

// unavailableRanges lists the networks of this machine for the gateway, the most important first.
func unavailableRanges(local []api.LocalRoute) []string {
	var near, far []netip.Prefix
	for _, route := range local {
		prefix := route.Prefix.Masked()
		if prefix.Bits() == 0 || !prefix.IsValid() {
			continue
		}
		if slices.ContainsFunc(tunnelSpace, prefix.Overlaps) {
			near = append(near, prefix)
		} else {
			far = append(far, prefix)
		}
	}
	var texts []string
	for _, prefix := range append(tidy(near), tidy(far)...) {
		if text := prefix.String(); len(texts) < maxUnavailable && !strings.Contains(text, "%") {
			texts = append(texts, text)
		}
	}
	return texts
}
