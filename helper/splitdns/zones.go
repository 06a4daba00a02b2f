// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// destination is where the answer to a question comes from.
type destination int

const (
	toUpstream     destination = iota // the name servers that the machine had before
	toGateway                         // the cluster
	toGatewayExact                    // the cluster, by this very name
	toGatewayFirst                    // the cluster; if it has no such name, upstream
	toSelf                            // this package: a question that checks the way here
)

// checkLabel is the label below the cluster domain whose names this package answers itself.
const checkLabel = "fairlead-check"

// privateLabels are last labels that are no top-level domains of the internet and yet in use, on local networks or by
// resolvers: a namespace of that name must not take them over (RFC 6761, RFC 6762 appendix G, RFC 9476).
var privateLabels = []string{"local", "lan", "home", "corp", "internal", "intranet", "private", "localdomain", "test", "alt", "example"}

// neverLabels are last labels that never go to the cluster, because resolvers answer or refuse them themselves.
var neverLabels = []string{"arpa", "invalid", "local", "localhost", "onion"}

// zones decides for each name where it goes. It is a value: it never changes after newZones.
type zones struct {
	clusterDomain string
	namespaces    map[string]bool // true if the name is also one of the world's
	routes        []netip.Prefix
	domains       []string
	exclude       []string
}

func newZones(c Config) zones {
	z := zones{clusterDomain: c.ClusterDomain, namespaces: make(map[string]bool, len(c.Namespaces)), routes: c.Routes, domains: c.Domains, exclude: c.Exclude}
	for _, namespace := range append([]string{c.Namespace}, c.Namespaces...) {
		if !slices.Contains(neverLabels, namespace) {
			z.namespaces[namespace] = isWorldly(namespace)
		}
	}
	return z
}

// isWorldly reports whether a label is a top-level domain of the internet, or used like one on local networks.
func isWorldly(label string) bool {
	suffix, icann := publicsuffix.PublicSuffix(label)
	return icann && suffix == label || slices.Contains(privateLabels, label)
}

// classify decides on a name, absolute or not, in any case of letters.
func (z zones) classify(name string) destination {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case name == "":
		return toUpstream
	case isBelow(name, checkLabel+"."+z.clusterDomain):
		return toSelf
	case isBelowAny(name, z.exclude):
		return toUpstream
	case isBelow(name, z.clusterDomain):
		return toGateway
	case isBelow(name, "in-addr.arpa"), isBelow(name, "ip6.arpa"):
		return z.classifyReverse(name)
	}
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	switch {
	case isBelowAny(name, z.domains):
		return toGatewayExact
	case slices.Contains(neverLabels, last):
		return toUpstream
	case len(labels) == 1:
		return toGatewayFirst // a service, or the name of a machine nearby
	case last == "svc":
		return toGateway
	}
	worldly, known := z.namespaces[last]
	switch {
	case !known:
		return toUpstream
	case !worldly:
		return toGateway
	case len(labels) <= maxServiceLabels:
		return toGatewayFirst // web.dev may be a service in dev, or a site
	default:
		return toUpstream
	}
}

// maxServiceLabels is the most that a name with a namespace at its end has: _port._protocol.service.namespace.
const maxServiceLabels = 4

// classifyReverse sends the question whose address is behind the tunnel to the cluster.
func (z zones) classifyReverse(name string) destination {
	address, ok := parseReverse(name)
	if ok && slices.ContainsFunc(z.routes, func(p netip.Prefix) bool { return p.Contains(address) }) {
		return toGateway
	}
	return toUpstream
}

func isBelow(name, domain string) bool {
	rest, ok := strings.CutSuffix(name, domain)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

func isBelowAny(name string, domains []string) bool {
	return slices.ContainsFunc(domains, func(domain string) bool { return isBelow(name, domain) })
}

// parseReverse reads the name under which the name of an address is asked for (RFC 1035 section 3.5, RFC 3596 section
// 2.5), in lower case and without a final dot.
func parseReverse(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(rest, ".")
		slices.Reverse(labels)
		address, err := netip.ParseAddr(strings.Join(labels, "."))
		return address, err == nil && address.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	nibbles := strings.Split(rest, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	var bytes [16]byte
	for i, nibble := range nibbles {
		value, err := strconv.ParseUint(nibble, 16, 4)
		if err != nil || len(nibble) != 1 {
			return netip.Addr{}, false
		}
		bytes[15-i/2] |= byte(value) << (4 * (i % 2))
	}
	return netip.AddrFrom16(bytes), true
}

// maxReverse bounds the zones that one range is split into; one that needs more gets the wider zone that holds it,
// and the classification sends what is not the cluster's upstream.
const maxReverse = 32

// reverseZones returns the zones that hold the reverse names of a range.
func reverseZones(p netip.Prefix) []string {
	step := 8 // an octet a label
	if p.Addr().Is6() {
		step = 4
	}
	bits := (p.Bits() + step - 1) / step * step
	if 1<<(bits-p.Bits()) > maxReverse {
		bits -= step
	}
	bits = max(bits, step)
	first := netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked().Addr()
	count := 1 << max(bits-p.Bits(), 0)
	zones := make([]string, 0, count)
	for i := range count {
		zones = append(zones, reverseZone(first, bits, i))
	}
	return zones
}

// reverseZone names the zone of the i-th prefix of the given length after first.
func reverseZone(first netip.Addr, bits, i int) string {
	raw := first.AsSlice()
	if first.Is4() {
		raw[bits/8-1] += byte(i)
		labels := make([]string, 0, 4)
		for _, octet := range slices.Backward(raw[:bits/8]) {
			labels = append(labels, strconv.Itoa(int(octet)))
		}
		return strings.Join(labels, ".") + ".in-addr.arpa"
	}
	nibbles := make([]byte, 0, 32)
	for _, octet := range raw {
		nibbles = append(nibbles, octet>>4, octet&0xf)
	}
	nibbles = nibbles[:bits/4]
	nibbles[len(nibbles)-1] += byte(i)
	labels := make([]string, 0, 32)
	for _, nibble := range slices.Backward(nibbles) {
		labels = append(labels, strconv.FormatUint(uint64(nibble), 16))
	}
	return strings.Join(labels, ".") + ".ip6.arpa"
}
