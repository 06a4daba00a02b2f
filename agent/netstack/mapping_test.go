// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net/netip"
	"testing"
)

func mapping(real, mapped string) Mapping {
	return Mapping{Real: netip.MustParsePrefix(real), Mapped: netip.MustParsePrefix(mapped)}
}

func TestMappings(t *testing.T) {
	m := Mappings{mapping("10.96.0.0/12", "198.19.128.0/12"), mapping("10.244.1.0/24", "172.30.7.0/24"), mapping("fd00:96::/108", "fd77::/108")}
	// A prefix is what its mask leaves.
	m[0].Mapped = netip.MustParsePrefix("172.16.0.0/12")
	m[1].Mapped = netip.MustParsePrefix("192.168.7.0/24")
	for real, mapped := range map[string]string{
		"10.96.0.10":       "172.16.0.10",
		"10.111.255.254":   "172.31.255.254",
		"10.244.1.9":       "192.168.7.9",
		"fd00:96::a:b":     "fd77::a:b",
		"10.244.2.9":       "10.244.2.9",
		"fd00:96::1000:0b": "fd00:96::1000:0b",
	} {
		r, want := netip.MustParseAddr(real), netip.MustParseAddr(mapped)
		if got := m.ToMapped(r); got != want {
			t.Errorf("%s is shown as %s, want %s", real, got, want)
		}
		if got := m.ToReal(want); got != r {
			t.Errorf("%s stands for %s, want %s", mapped, got, real)
		}
	}
	if got := Mappings(nil).ToReal(netip.MustParseAddr("10.0.0.1")); got.String() != "10.0.0.1" {
		t.Errorf("no mappings changed an address to %s", got)
	}
}

func TestMappingsValidate(t *testing.T) {
	for name, m := range map[string]Mappings{
		"no prefix":       {Mapping{}},
		"unequal size":    {mapping("10.0.0.0/8", "172.16.0.0/12")},
		"unequal family":  {mapping("10.0.0.0/8", "fd00::/8")},
		"real overlaps":   {mapping("10.0.0.0/16", "172.16.0.0/16"), mapping("10.0.1.0/24", "172.17.0.0/24")},
		"mapped overlaps": {mapping("10.0.0.0/16", "172.16.0.0/16"), mapping("10.1.0.0/24", "172.16.1.0/24")},
	} {
		if err := m.Validate(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := (Mappings{mapping("10.0.0.0/16", "172.16.0.0/16"), mapping("10.1.0.0/16", "172.17.0.0/16")}).Validate(); err != nil {
		t.Error(err)
	}
}
