// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
)

// Limits of what goes into the tunnel. A cluster's ranges are private, as a rule, and never larger than 10.0.0.0/8.
// The limits on the sum keep a default route from being put together out of many smaller ones.
const (
	// MinRouteBits4 and MinRouteBits6 are the shortest prefixes that are routed.
	MinRouteBits4 = 8
	MinRouteBits6 = 20 // what a registry hands to the largest networks (RFC 3177 and the registries' policies)

	// maxRouted4 and maxRouted6 bound all routes of a family together, in units of a shortest prefix: 8 × /8 and
	// 8 × /20.
	maxRouted4 = 8 << (32 - MinRouteBits4)
	maxRouted6 = 8
)

var broadcast = netip.MustParseAddr("255.255.255.255")

// neverRouted are the ranges that no route may touch, and why (RFC 6890).
var neverRouted = []struct {
	prefix netip.Prefix
	name   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("::/8"), "loopback and IPv4-mapped"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// tunnelRanges are where addresses inside the tunnel may be: nowhere that a host on the internet is.
var tunnelRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),     // RFC 1918
	netip.MustParsePrefix("172.16.0.0/12"),  // RFC 1918
	netip.MustParsePrefix("192.168.0.0/16"), // RFC 1918
	netip.MustParsePrefix("100.64.0.0/10"),  // RFC 6598, shared address space
	netip.MustParsePrefix("198.18.0.0/15"),  // RFC 2544, benchmarks; Fairlead's own default is inside
	netip.MustParsePrefix("fc00::/7"),       // RFC 4193, unique local
}

func validateRoutes(routes []netip.Prefix) error {
	if len(routes) > MaxRoutes {
		return refuse(CodeBadRequest, "Include fewer ranges, or wider ones.",
			"%d routes are more than the %d allowed", len(routes), MaxRoutes)
	}
	var sum4, sum6 uint64
	for _, route := range routes {
		if err := ValidateRoute(route); err != nil {
			return err
		}
		if route.Addr().Is4() {
			sum4 += 1 << (32 - route.Bits())
		} else if route.Bits() < MinRouteBits6+16 {
			sum6 += 1 << (MinRouteBits6 + 16 - route.Bits())
		}
	}
	if sum4 > maxRouted4 || sum6 > maxRouted6<<16 {
		return refuse(CodeRouteRefused, "Include smaller ranges.",
			"the routes together are far more than a cluster's: Fairlead does not take over the default route")
	}
	return nil
}

// ValidateRoute checks one route by itself: it must be a masked prefix of at least MinRouteBits4 or MinRouteBits6
// bits, outside loopback, link-local, multicast and the like. The error is an *Error with CodeRouteRefused or
// CodeBadRequest.
func ValidateRoute(route netip.Prefix) error {
	if !route.IsValid() || route != route.Masked() || route.Addr().Is4In6() {
		return refuse(CodeBadRequest, "Write the range with its first address, such as 10.96.0.0/12.",
			"%s is not a range of addresses", route)
	}
	if route.Bits() == 0 {
		return refuse(CodeRouteRefused, "Include the ranges that you need.",
			"%s is a default route, which Fairlead never takes over", route)
	}
	for _, never := range neverRouted {
		if never.prefix.Overlaps(route) {
			return refuse(CodeRouteRefused, "Leave the range out.",
				"%s is never routed into the tunnel: it holds %s addresses (%s)", route, never.name, never.prefix)
		}
	}
	least := MinRouteBits6
	if route.Addr().Is4() {
		least = MinRouteBits4
	}
	if route.Bits() < least {
		return refuse(CodeRouteRefused, "Include smaller ranges.",
			"%s is too large to be a cluster's: at most a /%d is routed", route, least)
	}
	return nil
}

// validateTunnelAddresses checks one end's addresses inside the tunnel; whose names the end.
func validateTunnelAddresses(whose string, addresses []netip.Addr) error {
	if len(addresses) == 0 {
		return refuse(CodeBadRequest, "", "the %s has no address", whose)
	}
	if len(addresses) > 2 || len(addresses) == 2 && addresses[0].Is4() == addresses[1].Is4() {
		return refuse(CodeBadRequest, "", "the %s has more than one IPv4 and one IPv6 address", whose)
	}
	for _, address := range addresses {
		if !inTunnelRange(address) {
			return refuse(CodeBadRequest, "Choose a private range for the tunnel in the gateway's chart values.",
				"%s is not an address for the %s: it must be in a private range, or in 198.18.0.0/15", address, whose)
		}
	}
	return nil
}

func inTunnelRange(address netip.Addr) bool {
	if !isHost(address) {
		return false
	}
	for _, allowed := range tunnelRanges {
		if allowed.Contains(address) {
			return true
		}
	}
	return false
}
