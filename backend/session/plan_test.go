// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func local(prefix, device, owner string) api.LocalRoute {
	return api.LocalRoute{Prefix: netip.MustParsePrefix(prefix), Interface: device, Owner: owner}
}

var (
	lan = local("192.168.1.0/24", "eth0", "the local network")
	vpn = local("10.0.0.0/8", "tun0", "a VPN")
)

func TestPlanRoutes(t *testing.T) {
	cluster := prefixes("10.96.0.0/16", "10.244.0.0/16", "fd00:10:96::/112")
	tests := []struct {
		name     string
		in       planInput
		routes   []string
		mappings []string // range=mapped
		conflict []string // details
	}{
		{"plain", planInput{Ranges: cluster, Local: []api.LocalRoute{lan}}, []string{"10.96.0.0/16", "10.244.0.0/16", "fd00:10:96::/112"}, nil, nil},
		{"included, and covered by another", planInput{Ranges: cluster, Include: prefixes("10.96.7.0/24", "203.0.113.9/32")},
			[]string{"10.96.0.0/16", "10.244.0.0/16", "203.0.113.9/32", "fd00:10:96::/112"}, nil, nil},
		{"excluded in part", planInput{Ranges: prefixes("10.96.0.0/14"), Exclude: prefixes("10.97.0.0/16")}, []string{"10.96.0.0/16", "10.98.0.0/15"}, nil, nil},
		{"excluded in all", planInput{Ranges: cluster, Exclude: prefixes("10.0.0.0/8")}, []string{"fd00:10:96::/112"}, nil, nil},
		{"conflict", planInput{Ranges: cluster, Local: []api.LocalRoute{lan, local("10.96.5.0/24", "docker0", "Docker")}}, nil, nil,
			[]string{"10.96.0.0/16 overlaps route 10.96.5.0/24 on interface docker0 (Docker)"}},
		{"conflict with a wide VPN, each range named", planInput{Ranges: cluster, Local: []api.LocalRoute{vpn}}, nil, nil,
			[]string{"10.96.0.0/16 overlaps route 10.0.0.0/8 on interface tun0 (a VPN)", "10.244.0.0/16 overlaps route 10.0.0.0/8 on interface tun0 (a VPN)"}},
		{"conflict of an included range", planInput{Include: prefixes("192.168.0.0/16"), Local: []api.LocalRoute{lan}}, nil, nil,
			[]string{"192.168.0.0/16 overlaps route 192.168.1.0/24 on interface eth0 (the local network)"}},
		{"conflict left out", planInput{Ranges: prefixes("10.96.0.0/22"), Exclude: prefixes("10.96.1.0/24"), Local: []api.LocalRoute{local("10.96.1.0/24", "docker0", "")}},
			[]string{"10.96.0.0/24", "10.96.2.0/23"}, nil, nil},
		{"a default route is no conflict", planInput{Ranges: prefixes("10.96.0.0/16"), Local: []api.LocalRoute{local("0.0.0.0/0", "eth0", "")}}, []string{"10.96.0.0/16"}, nil, nil},
		{"mapped", planInput{Ranges: cluster, Local: []api.LocalRoute{local("10.96.5.0/24", "docker0", "Docker")}, MapConflicts: true},
			[]string{"10.244.0.0/16", "10.255.0.0/16", "fd00:10:96::/112"}, []string{"10.96.0.0/16=10.255.0.0/16"}, nil},
		{"mapped beside a wide VPN", planInput{Ranges: cluster, Local: []api.LocalRoute{vpn, local("172.17.0.0/16", "docker0", "Docker")}, MapConflicts: true},
			[]string{"172.30.0.0/16", "172.31.0.0/16", "fd00:10:96::/112"}, []string{"10.96.0.0/16=172.31.0.0/16", "10.244.0.0/16=172.30.0.0/16"}, nil},
		{"mapped, IPv6", planInput{Ranges: prefixes("fd00:10:96::/112"), Local: []api.LocalRoute{local("fd00::/16", "tun0", "")}, MapConflicts: true},
			[]string{"fdfa:1ead:ffff:ffff:ffff:ffff:ffff:0/112"}, []string{"fd00:10:96::/112=fdfa:1ead:ffff:ffff:ffff:ffff:ffff:0/112"}, nil},
		{"never onto what is reserved", planInput{Ranges: prefixes("10.96.0.0/16"), Reserved: prefixes("10.255.3.4/32"), Local: []api.LocalRoute{local("10.96.5.0/24", "docker0", "")}, MapConflicts: true},
			[]string{"10.254.0.0/16"}, []string{"10.96.0.0/16=10.254.0.0/16"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := planRoutes(test.in)
			if len(test.conflict) > 0 {
				p, ok := errors.AsType[*problem.Problem](err)
				if !ok || p.Code != problem.RouteConflict || !slices.Equal(p.Details, test.conflict) {
					t.Fatalf("got %+v", p)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Routes, prefixes(test.routes...)) {
				t.Errorf("got routes %v, want %v", got.Routes, test.routes)
			}
			var mappings []string
			for _, m := range got.Mappings {
				mappings = append(mappings, m.Range.String()+"="+m.Mapped.String())
			}
			if !slices.Equal(mappings, test.mappings) {
				t.Errorf("got mappings %v, want %v", mappings, test.mappings)
			}
		})
	}
}

func TestPlanRoutesWithoutFreeAddresses(t *testing.T) {
	_, err := planRoutes(planInput{
		Ranges: prefixes("10.96.0.0/16"), MapConflicts: true,
		Local: []api.LocalRoute{vpn, local("172.16.0.0/12", "tun1", ""), local("100.64.0.0/10", "tailscale0", "Tailscale")},
	})
	if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Code != problem.RouteConflict || !strings.Contains(p.Message, "no free private addresses") {
		t.Errorf("got %v", err)
	}
}

// Whatever is taken out of a prefix, what is left and what was taken make up the whole, and don't overlap.
func FuzzSubtract(f *testing.F) {
	f.Add([]byte{10, 96, 0, 0}, uint8(12), []byte{10, 97, 0, 0}, uint8(16))
	f.Add([]byte{10, 96, 0, 0}, uint8(16), []byte{10, 0, 0, 0}, uint8(8))
	f.Add([]byte{0, 0, 0, 0}, uint8(0), []byte{255, 255, 255, 255}, uint8(32))
	f.Fuzz(func(t *testing.T, a []byte, aBits uint8, b []byte, bBits uint8) {
		addrA, okA := netip.AddrFromSlice(a)
		addrB, okB := netip.AddrFromSlice(b)
		if !okA || !okB || int(aBits) > addrA.BitLen() || int(bBits) > addrB.BitLen() {
			return
		}
		p, other := netip.PrefixFrom(addrA, int(aBits)).Masked(), netip.PrefixFrom(addrB, int(bBits)).Masked()
		left := subtract(p, other)
		for i, piece := range left {
			if piece.Overlaps(other) || piece != piece.Masked() || !covered(piece, []netip.Prefix{p}) {
				t.Errorf("%s - %s left %s", p, other, piece)
			}
			if slices.ContainsFunc(left[i+1:], piece.Overlaps) {
				t.Errorf("%s - %s: %v overlap", p, other, left)
			}
		}
		for _, probe := range []netip.Addr{p.Addr(), addrA, addrB} {
			inside := p.Contains(probe) && !other.Contains(probe)
			if got := slices.ContainsFunc(left, func(q netip.Prefix) bool { return q.Contains(probe) }); got != inside {
				t.Errorf("%s - %s: %s is inside: %v, want %v", p, other, probe, got, inside)
			}
		}
	})
}

func TestUnavailableRangesPutTunnelSpaceFirst(t *testing.T) {
	routes := []api.LocalRoute{lan, vpn, local("198.19.4.0/24", "tun1", ""), local("fd7a:115c:a1e0::/48", "tailscale0", "Tailscale"), local("0.0.0.0/0", "eth0", ""), lan}
	for i := range 100 {
		routes = append(routes, local(netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 20, byte(i), 0}), 24).String(), "br0", ""))
	}
	got := unavailableRanges(routes)
	if len(got) != maxUnavailable || got[0] != "198.19.4.0/24" || got[1] != "fd7a:115c:a1e0::/48" || got[2] != "10.0.0.0/8" {
		t.Errorf("got %d: %v", len(got), got)
	}
}
