// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

const (
	// maxRangesPerKind keeps the routes of a laptop few. Ranges are widened until so many are left.
	maxRangesPerKind = 48

	// An observed address stands for the range of this size around it: as much as nodes commonly have.
	observedBitsIPv4 = 24
	observedBitsIPv6 = 80

	// Ranges are never widened beyond these sizes: the laptop would lose networks of its own.
	widestIPv4 = 12
	widestIPv6 = 48
)

// Where a range is known from, as ClusterRange.Source says it.
const (
	sourceConfigured  = "configured"
	sourceServiceCIDR = "servicecidr"
	sourceNode        = "node"
	sourceObserved    = "observed"
)

// RangeFacts is all that the gateway knows about the cluster's addresses.
type RangeFacts struct {
	ConfiguredServices, ConfiguredPods []netip.Prefix // from the chart's values; they replace the rest of their kind

	ServiceCIDRs    []netip.Prefix // from the ServiceCIDR API
	RevealedService []netip.Prefix // from the API server's refusal of an impossible address
	ServiceIPs      []netip.Addr   // of existing Services

	NodePodCIDRs []netip.Prefix
	GatewayPod   []netip.Addr // the gateway's own pod
	PodIPs       []netip.Addr // of existing pods that have a network of their own
}

// TrustNodeRanges reports whether the nodes' pod ranges are what pods really get: many networks (such as those of
// clouds) leave them empty or ignore them, and then the gateway's own address, which is a pod's, is not in them.
func (f RangeFacts) TrustNodeRanges() bool {
	if len(f.NodePodCIDRs) == 0 {
		return false
	}
	for _, address := range f.GatewayPod {
		if !containsAddr(f.NodePodCIDRs, address) {
			return false
		}
	}
	return true
}

// ClusterRanges decides which prefixes a laptop routes to the cluster: services before pods, each kind in order of
// address. Prefixes that no cluster can mean (loopback, link-local, multicast, everything) are left out.
func ClusterRanges(f RangeFacts) []v1alpha1.ClusterRange {
	services, source := f.ConfiguredServices, sourceConfigured
	switch {
	case len(services) > 0:
	case len(f.ServiceCIDRs) > 0:
		services, source = f.ServiceCIDRs, sourceServiceCIDR
	default:
		services, source = append(slices.Clone(f.RevealedService), around(outside(f.ServiceIPs, f.RevealedService))...), sourceObserved
	}
	ranges := describe(services, v1alpha1.ServiceRange, source)

	pods, source := f.ConfiguredPods, sourceConfigured
	switch {
	case len(pods) > 0:
	case f.TrustNodeRanges():
		pods, source = f.NodePodCIDRs, sourceNode
	default:
		pods, source = around(append(slices.Clone(f.PodIPs), f.GatewayPod...)), sourceObserved
	}
	// A range of both kinds, as in clusters that share one network, is listed once.
	for _, pod := range describe(pods, v1alpha1.PodRange, source) {
		if !slices.ContainsFunc(ranges, func(r v1alpha1.ClusterRange) bool { return r.Range == pod.Range }) {
			ranges = append(ranges, pod)
		}
	}
	return ranges
}

// describe merges prefixes to few and says what they are.
func describe(prefixes []netip.Prefix, kind v1alpha1.RangeKind, source string) []v1alpha1.ClusterRange {
	var ranges []v1alpha1.ClusterRange
	for _, prefix := range MergePrefixes(prefixes, maxRangesPerKind) {
		ranges = append(ranges, v1alpha1.ClusterRange{Range: prefix.String(), Kind: kind, Source: source})
	}
	return ranges
}

// MergePrefixes returns the fewest prefixes that cover exactly the same addresses, in order of address, IPv4 first.
// When more than limit are left, it widens those that are closest to one another, never beyond a fixed size, until
// limit is met or nothing can be widened. Prefixes that are invalid or not unicast are dropped.
func MergePrefixes(prefixes []netip.Prefix, limit int) []netip.Prefix {
	var sorted []netip.Prefix
	for _, prefix := range prefixes {
		if prefix = prefix.Masked(); routable(prefix) {
			sorted = append(sorted, prefix)
		}
	}
	slices.SortFunc(sorted, comparePrefixes)

	// A stack of disjoint prefixes: each new one is dropped if covered, and siblings become their parent.
	var merged []netip.Prefix
	for _, prefix := range sorted {
		if n := len(merged); n > 0 && merged[n-1].Contains(prefix.Addr()) {
			continue
		}
		merged = append(merged, prefix)
		for n := len(merged); n > 1; n = len(merged) {
			parent, ok := siblings(merged[n-2], merged[n-1])
			if !ok {
				break
			}
			merged = append(merged[:n-2], parent)
		}
	}
	for len(merged) > limit {
		at, parent, ok := closest(merged)
		if !ok {
			break
		}
		merged = slices.DeleteFunc(slices.Replace(merged, at, at+2, parent), func(p netip.Prefix) bool {
			return p != parent && parent.Contains(p.Addr())
		})
	}
	return merged
}

// closest returns the neighbours whose common parent is smallest, and that parent.
func closest(sorted []netip.Prefix) (at int, parent netip.Prefix, ok bool) {
	for i := range len(sorted) - 1 {
		common, possible := commonParent(sorted[i], sorted[i+1])
		if possible && (!ok || hostBits(common) < hostBits(parent)) {
			at, parent, ok = i, common, true
		}
	}
	return at, parent, ok
}

func hostBits(p netip.Prefix) int { return p.Addr().BitLen() - p.Bits() }

// siblings returns the parent of two prefixes that are its two halves.
func siblings(a, b netip.Prefix) (netip.Prefix, bool) {
	if a.Addr().BitLen() != b.Addr().BitLen() || a.Bits() != b.Bits() || a.Bits() == 0 || a == b {
		return netip.Prefix{}, false
	}
	parent := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
	return parent, parent.Contains(b.Addr())
}

// commonParent returns the smallest prefix that covers both, unless that is wider than is ever right.
func commonParent(a, b netip.Prefix) (netip.Prefix, bool) {
	if a.Addr().BitLen() != b.Addr().BitLen() {
		return netip.Prefix{}, false
	}
	widest := widestIPv4
	if a.Addr().Is6() {
		widest = widestIPv6
	}
	for bits := min(a.Bits(), b.Bits()); bits >= widest; bits-- {
		if parent := netip.PrefixFrom(a.Addr(), bits).Masked(); parent.Contains(b.Addr()) {
			return parent, true
		}
	}
	return netip.Prefix{}, false
}

// around returns the ranges that addresses are likely to come from.
func around(addresses []netip.Addr) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, address := range addresses {
		address = address.Unmap()
		bits := observedBitsIPv4
		if address.Is6() {
			bits = observedBitsIPv6
		}
		if prefix, err := address.Prefix(bits); err == nil && !containsPrefix(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

// outside returns the addresses that are in none of prefixes.
func outside(addresses []netip.Addr, prefixes []netip.Prefix) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool { return containsAddr(prefixes, a) })
}

// routable reports whether a prefix can be a cluster's: unicast, neither loopback nor link-local, not everything.
func routable(p netip.Prefix) bool {
	if !p.IsValid() || p.Bits() < 4 {
		return false
	}
	first := p.Addr()
	return !first.IsLoopback() && !first.IsMulticast() && !first.IsLinkLocalUnicast() && !first.IsUnspecified() && !first.Is4In6()
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func containsAddr(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) })
}

func containsPrefix(prefixes []netip.Prefix, prefix netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		return p.Bits() <= prefix.Bits() && p.Contains(prefix.Addr())
	})
}

// revealed finds prefixes in the sentence by which an API server refuses a Service's address.
var revealed = regexp.MustCompile(`The range of valid IPs is ([0-9a-fA-F:./]+)`)

// RangeInRefusal returns the service range that an API server names when it refuses an address outside of it, as those
// without the ServiceCIDR API (before 1.33) do.
func RangeInRefusal(message string) (netip.Prefix, bool) {
	match := revealed.FindStringSubmatch(message)
	if match == nil {
		return netip.Prefix{}, false
	}
	prefix, err := netip.ParsePrefix(match[1])
	return prefix, err == nil
}
