// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// View is how one laptop sees the cluster. The zero value sees fully qualified names only.
type View struct {
	Namespace string // where names that are not qualified resolve
	Mappings  []Mapping
}

// Mapping shows a range of the cluster under other addresses of the same number and family.
type Mapping struct {
	Range, Mapped netip.Prefix
}

// toMapped returns the address under which the laptop reaches a cluster's address.
func (v View) toMapped(a netip.Addr) netip.Addr {
	for _, m := range v.Mappings {
		if m.Range.Contains(a) {
			return move(a, m.Mapped)
		}
	}
	return a
}

// toReal is the way back of toMapped.
func (v View) toReal(a netip.Addr) netip.Addr {
	for _, m := range v.Mappings {
		if m.Mapped.Contains(a) {
			return move(a, m.Range)
		}
	}
	return a
}

// move puts an address at the same place in another prefix of the same size.
func move(a netip.Addr, to netip.Prefix) netip.Addr {
	from, base := a.AsSlice(), to.Masked().Addr().AsSlice()
	if len(from) != len(base) {
		return a
	}
	for i := range base {
		hostMask := byte(0xff)
		switch bits := to.Bits() - 8*i; {
		case bits >= 8:
			hostMask = 0
		case bits > 0:
			hostMask >>= bits
		}
		base[i] = base[i]&^hostMask | from[i]&hostMask
	}
	moved, _ := netip.AddrFromSlice(base)
	return moved
}

// Candidates returns the names that a question for name stands for, in order of preference: the first that exists is
// meant. They are what the search list of a pod in the namespace makes of it (as kubelet writes it: "<ns>.svc.<domain>
// svc.<domain> <domain>"), without the name as it is where that is outside of the cluster. All names are lower case
// and end in a dot; domain is without one.
func Candidates(name string, namespace, domain string) []string {
	name = strings.ToLower(dns.Fqdn(name))
	zone := domain + "."
	if name == "." || name == zone || strings.HasSuffix(name, "."+zone) {
		return []string{name}
	}
	suffixes := []string{"svc." + zone, zone}
	if namespace != "" {
		suffixes = slices.Insert(suffixes, 0, namespace+".svc."+zone)
	}
	var candidates []string
	for _, suffix := range suffixes {
		if candidate := name + suffix; fits(candidate) {
			candidates = append(candidates, candidate)
		}
	}
	return candidates
}

// fits reports whether a name is within the bounds of DNS (RFC 1035, section 2.3.4).
func fits(name string) bool {
	_, ok := dns.IsDomainName(name)
	return ok && len(name) <= 254
}

// reverse returns the address that a name in in-addr.arpa or ip6.arpa stands for.
func reverse(name string) (netip.Addr, bool) {
	name = strings.ToLower(dns.Fqdn(name))
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		labels := strings.Split(rest, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		var address [4]byte
		for i, label := range labels {
			n, err := strconv.ParseUint(label, 10, 8)
			if err != nil || strconv.Itoa(int(n)) != label {
				return netip.Addr{}, false
			}
			address[3-i] = byte(n)
		}
		return netip.AddrFrom4(address), true
	}
	if rest, ok := strings.CutSuffix(name, ".ip6.arpa."); ok {
		nibbles := strings.Split(rest, ".")
		if len(nibbles) != 32 {
			return netip.Addr{}, false
		}
		var address [16]byte
		for i, nibble := range nibbles {
			n, err := strconv.ParseUint(nibble, 16, 4)
			if err != nil || len(nibble) != 1 {
				return netip.Addr{}, false
			}
			address[15-i/2] |= byte(n) << (4 * (i % 2))
		}
		return netip.AddrFrom16(address), true
	}
	return netip.Addr{}, false
}

// isReverse reports whether a name belongs to the tree of addresses.
func isReverse(name string) bool {
	name = strings.ToLower(dns.Fqdn(name))
	return strings.HasSuffix(name, ".in-addr.arpa.") || strings.HasSuffix(name, ".ip6.arpa.")
}
