// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestCandidates(t *testing.T) {
	for _, test := range []struct {
		name, asked, namespace string
		want                   []string
	}{
		{"service", "catalog.", "shop", []string{"catalog.shop.svc.cluster.local.", "catalog.svc.cluster.local.", "catalog.cluster.local."}},
		{"service and namespace", "catalog.shop.", "web", []string{"catalog.shop.web.svc.cluster.local.", "catalog.shop.svc.cluster.local.", "catalog.shop.cluster.local."}},
		{"with svc", "catalog.shop.svc.", "web", []string{"catalog.shop.svc.web.svc.cluster.local.", "catalog.shop.svc.svc.cluster.local.", "catalog.shop.svc.cluster.local."}},
		{"fully qualified", "catalog.shop.svc.cluster.local.", "web", []string{"catalog.shop.svc.cluster.local."}},
		{"case", "Catalog.SHOP.svc.Cluster.Local.", "web", []string{"catalog.shop.svc.cluster.local."}},
		{"without dot", "catalog", "shop", []string{"catalog.shop.svc.cluster.local.", "catalog.svc.cluster.local.", "catalog.cluster.local."}},
		{"no namespace", "catalog.", "", []string{"catalog.svc.cluster.local.", "catalog.cluster.local."}},
		{"the domain itself", "cluster.local.", "shop", []string{"cluster.local."}},
		{"only similar to the domain", "mycluster.local.", "shop", []string{"mycluster.local.shop.svc.cluster.local.", "mycluster.local.svc.cluster.local.", "mycluster.local.cluster.local."}},
		{"root", ".", "shop", []string{"."}},
		{"service port", "_http._tcp.catalog.", "shop", []string{"_http._tcp.catalog.shop.svc.cluster.local.", "_http._tcp.catalog.svc.cluster.local.", "_http._tcp.catalog.cluster.local."}},
		{"too long with a suffix", strings.Repeat("a23456789.", 25), "shop", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Candidates(test.asked, test.namespace, "cluster.local"); !slices.Equal(got, test.want) {
				t.Errorf("Candidates(%q, %q) = %q, want %q", test.asked, test.namespace, got, test.want)
			}
		})
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.10.in-addr.arpa.": "10.2.3.4",
		"4.3.2.10.IN-ADDR.ARPA":  "10.2.3.4",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.": "fd00:10:96::1",
		"3.2.10.in-addr.arpa.":     "",
		"256.3.2.10.in-addr.arpa.": "",
		"04.3.2.10.in-addr.arpa.":  "",
		"+4.3.2.10.in-addr.arpa.":  "",
		"1.ip6.arpa.":              "",
		"catalog.":                 "",
	} {
		got, ok := reverse(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("reverse(%q) = %v, %v, want %q", name, got, ok, want)
		}
	}
}

func TestMappingsGoBothWays(t *testing.T) {
	view := View{Mappings: []Mapping{
		{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("198.16.0.0/12")},
		{netip.MustParsePrefix("10.244.3.0/25"), netip.MustParsePrefix("172.30.9.128/25")},
		{netip.MustParsePrefix("fd00:10:96::/108"), netip.MustParsePrefix("fd77::70:0:0/108")},
	}}
	for real, mapped := range map[string]string{
		"10.96.0.1":        "198.16.0.1",
		"10.111.255.254":   "198.31.255.254",
		"10.244.3.7":       "172.30.9.135",
		"10.244.3.200":     "10.244.3.200",
		"fd00:10:96::f:17": "fd77::70:f:17",
		"192.0.2.1":        "192.0.2.1",
		"2001:db8::1":      "2001:db8::1",
	} {
		if got := view.toMapped(netip.MustParseAddr(real)); got.String() != mapped {
			t.Errorf("toMapped(%s) = %s, want %s", real, got, mapped)
		}
		if got := view.toReal(netip.MustParseAddr(mapped)); got.String() != real {
			t.Errorf("toReal(%s) = %s, want %s", mapped, got, real)
		}
	}
}

func TestDomainOf(t *testing.T) {
	for search, want := range map[string]string{
		"fairlead.svc.cluster.local svc.cluster.local cluster.local corp.example.com": "cluster.local",
		"fairlead.svc.k8s.example.com. svc.k8s.example.com. k8s.example.com.":         "k8s.example.com",
		"corp.example.com": DefaultDomain,
	} {
		if got := domainOf(strings.Fields(search)); got != want {
			t.Errorf("domainOf(%q) = %q, want %q", search, got, want)
		}
	}
}

func FuzzCandidates(f *testing.F) {
	f.Add("catalog", "shop")
	f.Add("a.b.svc.cluster.local.", "x")
	f.Add(`\000\..`, "shop")
	f.Fuzz(func(t *testing.T, name, namespace string) {
		for _, candidate := range Candidates(name, namespace, "cluster.local") {
			if name == "." || strings.EqualFold(dns.Fqdn(name), candidate) {
				continue
			}
			if !strings.HasSuffix(candidate, ".cluster.local.") {
				t.Errorf("Candidates(%q, %q) has %q, which is outside of the cluster", name, namespace, candidate)
			}
		}
		reverse(name)
	})
}
