// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func testConfig() Config {
	return Config{
		Device:        "fairlead0",
		Addresses:     []netip.Addr{netip.MustParseAddr("198.19.0.3"), netip.MustParseAddr("fd00:f1::3")},
		Gateway:       []netip.Addr{netip.MustParseAddr("198.19.0.2"), netip.MustParseAddr("fd00:f1::2")},
		Routes:        []netip.Prefix{netip.MustParsePrefix("10.96.0.0/14"), netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10::/46")},
		ClusterDomain: "cluster.local",
		Namespace:     "shop-a",
		Namespaces:    []string{"shop-a", "dev", "kube-system", "lan", "local", "svc"},
		Domains:       []string{"db.example.net"},
		Exclude:       []string{"old.db.example.net", "left.shop-a"},
	}
}

func TestClassify(t *testing.T) {
	z := newZones(testConfig())
	for name, want := range map[string]destination{
		// in the cluster
		"catalog.shop-a.svc.cluster.local.":           toGateway,
		"CATALOG.Shop-A.SVC.Cluster.Local":            toGateway,
		"cluster.local.":                              toGateway,
		"_http._tcp.catalog.shop-a.svc.cluster.local": toGateway,
		"inventory-0.inventory.shop-a.svc":            toGateway,
		"catalog.shop-a.svc.":                         toGateway,
		"catalog.shop-a.":                             toGateway,
		"inventory-0.inventory.shop-a":                toGateway,
		"catalog.kube-system":                         toGateway,
		// what the user has named
		"db.example.net":         toGatewayExact,
		"Orders.DB.example.net.": toGatewayExact,
		"notdb.example.net":      toUpstream,
		"old.db.example.net":     toUpstream,
		"a.old.db.example.net":   toUpstream,
		"left.shop-a":            toUpstream,
		"web.left.shop-a":        toUpstream,
		"left.shop-a.svc":        toGateway,
		// perhaps
		"catalog":                toGatewayFirst,
		"catalog.dev.":           toGatewayFirst, // dev is a top-level domain
		"www.catalog.dev":        toGatewayFirst,
		"_http._tcp.catalog.dev": toGatewayFirst,
		"catalog.lan":            toGatewayFirst, // lan is what home routers use
		"svc":                    toGatewayFirst,
		// not
		".":                       toUpstream,
		"":                        toUpstream,
		"www.example.com.":        toUpstream,
		"a.b.www.catalog.dev":     toUpstream,
		"notcluster.local":        toUpstream,
		"printer.local":           toUpstream, // mDNS, whatever the namespaces
		"localhost":               toUpstream,
		"x.localhost":             toUpstream,
		"shop.example.com":        toUpstream,
		"catalog.unknown":         toUpstream,
		"cluster.local.evil.test": toUpstream,
		// addresses
		"1.0.97.10.in-addr.arpa.":           toGateway,
		"1.0.100.10.in-addr.arpa":           toUpstream,
		"10.in-addr.arpa":                   toUpstream,
		"1.2.3.4.5.in-addr.arpa":            toUpstream,
		"in-addr.arpa":                      toUpstream,
		reverseName("fd00:11::1"):           toUpstream,
		reverseName("fd00:10::1"):           toGateway,
		"g" + reverseName("fd00:10::1")[1:]: toUpstream,
		// ours
		"abc.fairlead-check.cluster.local": toSelf,
	} {
		if got := z.classify(name); got != want {
			t.Errorf("%q: got %d, want %d", name, got, want)
		}
	}
}

// reverseName writes an IPv6 address backwards.
func reverseName(address string) string {
	var labels []string
	for _, octet := range slices.Backward(netip.MustParseAddr(address).AsSlice()) {
		labels = append(labels, string("0123456789abcdef"[octet&15]), string("0123456789abcdef"[octet>>4]))
	}
	return strings.Join(labels, ".") + ".ip6.arpa"
}

func TestReverseZones(t *testing.T) {
	for prefix, want := range map[string][]string{
		"10.244.0.0/16":    {"244.10.in-addr.arpa"},
		"10.0.0.0/8":       {"10.in-addr.arpa"},
		"10.96.0.0/14":     {"96.10.in-addr.arpa", "97.10.in-addr.arpa", "98.10.in-addr.arpa", "99.10.in-addr.arpa"},
		"192.168.4.0/23":   {"4.168.192.in-addr.arpa", "5.168.192.in-addr.arpa"},
		"198.19.0.2/32":    {"2.0.19.198.in-addr.arpa"},
		"10.128.0.0/9":     {"10.in-addr.arpa"}, // 128 zones would be too many
		"172.16.12.128/25": {"12.16.172.in-addr.arpa"},
		"fd00:10::/32":     {"0.1.0.0.0.0.d.f.ip6.arpa"},
		"fd00:10::/30": {"0.1.0.0.0.0.d.f.ip6.arpa", "1.1.0.0.0.0.d.f.ip6.arpa", "2.1.0.0.0.0.d.f.ip6.arpa",
			"3.1.0.0.0.0.d.f.ip6.arpa"},
	} {
		if got := reverseZones(netip.MustParsePrefix(prefix)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", prefix, got, want)
		}
	}
}

// FuzzClassify holds that every name goes somewhere, and that what an address's name says is what it is.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"catalog.shop", ".", "", "..", "1.0.97.10.in-addr.arpa", reverseName("fd00:10::1"), "a.dev", "\x00.svc"} {
		f.Add(seed)
	}
	z := newZones(testConfig())
	f.Fuzz(func(t *testing.T, name string) {
		got := z.classify(name)
		if got < toUpstream || got > toSelf {
			t.Errorf("%q goes nowhere: %d", name, got)
		}
		if strings.HasSuffix(strings.ToLower(name), ".com") && got != toUpstream {
			t.Errorf("%q goes to %d", name, got)
		}
	})
}

// FuzzReverseZones holds that the zones of a range are few and hold the range's own first and last address.
func FuzzReverseZones(f *testing.F) {
	f.Add([]byte{10, 96, 0, 0}, uint8(12))
	f.Add(netip.MustParseAddr("fd00:10::").AsSlice(), uint8(108))
	f.Fuzz(func(t *testing.T, raw []byte, bits uint8) {
		address, ok := netip.AddrFromSlice(raw)
		if !ok || int(bits) > address.BitLen() || bits < 8 { // helper/api lets nothing shorter through
			return
		}
		prefix := netip.PrefixFrom(address, int(bits)).Masked()
		zones := reverseZones(prefix)
		if len(zones) == 0 || len(zones) > maxReverse {
			t.Fatalf("%s: %d zones", prefix, len(zones))
		}
		name := reverseZone(prefix.Addr(), prefix.Addr().BitLen(), 0)
		if !slices.ContainsFunc(zones, func(zone string) bool { return isBelow(name, zone) }) {
			t.Errorf("%s: %s is in none of %q", prefix, name, zones)
		}
	})
}
