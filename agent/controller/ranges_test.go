// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(texts string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, text := range strings.Fields(texts) {
		parsed = append(parsed, netip.MustParsePrefix(text))
	}
	return parsed
}

func addrs(texts string) []netip.Addr {
	var parsed []netip.Addr
	for _, text := range strings.Fields(texts) {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

func TestMergePrefixes(t *testing.T) {
	for _, test := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"nothing", "", 4, ""},
		{"siblings", "10.0.0.0/24 10.0.1.0/24", 4, "10.0.0.0/23"},
		{"siblings of siblings", "10.0.3.0/24 10.0.0.0/24 10.0.2.0/24 10.0.1.0/24", 4, "10.0.0.0/22"},
		{"neighbours of different parents", "10.0.1.0/24 10.0.2.0/24", 4, "10.0.1.0/24 10.0.2.0/24"},
		{"covered", "10.0.0.0/8 10.1.0.0/16 10.1.2.0/24", 4, "10.0.0.0/8"},
		{"the same twice", "10.0.0.0/24 10.0.0.0/24", 4, "10.0.0.0/24"},
		{"not masked", "10.0.0.7/24", 4, "10.0.0.0/24"},
		{"families apart", "fd00::/64 10.0.0.0/24 fd00:0:0:1::/64", 4, "10.0.0.0/24 fd00::/63"},
		{"nonsense", "0.0.0.0/0 127.0.0.0/8 169.254.0.0/16 224.0.0.0/4 ::/0 fe80::/64 ff00::/8 10.0.0.0/24", 4, "10.0.0.0/24"},
		{"too many", "10.0.1.0/24 10.0.2.0/24 10.200.0.0/24", 2, "10.0.0.0/22 10.200.0.0/24"},
		{"too many, swallowing a third", "10.0.1.0/24 10.0.2.0/24 10.0.3.0/24 172.16.0.0/24", 2, "10.0.0.0/22 172.16.0.0/24"},
		{"too far apart to widen", "10.0.0.0/24 172.16.0.0/24 192.168.0.0/24", 1, "10.0.0.0/24 172.16.0.0/24 192.168.0.0/24"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Trim(fmt.Sprint(MergePrefixes(prefixes(test.in), test.limit)), "[]")
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestMergePrefixesOfALargeCluster(t *testing.T) {
	var nodes []netip.Prefix
	for i := range 3000 { // every third node range is free
		if i%3 != 0 {
			nodes = append(nodes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(16 + i>>8), byte(i), 0}), 24))
		}
	}
	merged := MergePrefixes(nodes, maxRangesPerKind)
	if len(merged) > maxRangesPerKind {
		t.Errorf("%d ranges are left", len(merged))
	}
	for _, node := range nodes {
		if !containsPrefix(merged, node) {
			t.Errorf("%s is lost", node)
		}
	}
}

func TestClusterRanges(t *testing.T) {
	full := RangeFacts{
		ServiceCIDRs: prefixes("10.96.0.0/16"),
		NodePodCIDRs: prefixes("10.244.0.0/24 10.244.1.0/24"),
		GatewayPod:   addrs("10.244.1.9"),
		PodIPs:       addrs("10.244.0.5 10.244.1.9"),
		ServiceIPs:   addrs("10.96.0.1"),
	}
	for _, test := range []struct {
		name   string
		change func(*RangeFacts)
		want   string
	}{
		{"from the API", func(*RangeFacts) {}, "service 10.96.0.0/16 servicecidr, pod 10.244.0.0/23 node"},
		{"configured", func(f *RangeFacts) {
			f.ConfiguredServices, f.ConfiguredPods = prefixes("10.100.0.0/16"), prefixes("10.1.0.0/16")
		}, "service 10.100.0.0/16 configured, pod 10.1.0.0/16 configured"},
		{"no ServiceCIDR API", func(f *RangeFacts) { f.ServiceCIDRs = nil }, "service 10.96.0.0/24 observed, pod 10.244.0.0/23 node"},
		{"revealed", func(f *RangeFacts) {
			f.ServiceCIDRs, f.RevealedService = nil, prefixes("10.96.0.0/12")
			f.ServiceIPs = addrs("10.96.0.1 10.97.3.4 fd00:10:96::1")
		}, "service 10.96.0.0/12 observed, service fd00:10:96::/80 observed, pod 10.244.0.0/23 node"},
		{"nodes without ranges", func(f *RangeFacts) { f.NodePodCIDRs = nil }, "service 10.96.0.0/16 servicecidr, pod 10.244.0.0/23 observed"},
		{"nodes' ranges not used", func(f *RangeFacts) {
			f.GatewayPod, f.PodIPs = addrs("100.64.3.9"), addrs("100.64.2.1 100.64.3.9")
		}, "service 10.96.0.0/16 servicecidr, pod 100.64.2.0/23 observed"},
		{"dual stack, one family used otherwise", func(f *RangeFacts) {
			f.GatewayPod = addrs("10.244.1.9 fd00:10:244:1::9")
			f.PodIPs = f.GatewayPod
		}, "service 10.96.0.0/16 servicecidr, pod 10.244.1.0/24 observed, pod fd00:10:244:1::/80 observed"},
		{"one network for both", func(f *RangeFacts) { f.ConfiguredPods = prefixes("10.96.0.0/16") }, "service 10.96.0.0/16 servicecidr"},
	} {
		t.Run(test.name, func(t *testing.T) {
			facts := full
			test.change(&facts)
			var got []string
			for _, r := range ClusterRanges(facts) {
				got = append(got, fmt.Sprintf("%s %s %s", r.Kind, r.Range, r.Source))
			}
			if strings.Join(got, ", ") != test.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), test.want)
			}
		})
	}
}

func TestRangeInRefusal(t *testing.T) {
	for message, want := range map[string]string{
		`Service "x" is invalid: spec.clusterIPs: Invalid value: ["0.0.0.1"]: failed to allocate IP 0.0.0.1: the provided IP (0.0.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12`: "10.96.0.0/12",
		`provided IP is not in the valid range. The range of valid IPs is fd00:10:96::/112`:                                                                                                               "fd00:10:96::/112",
		`services is forbidden`:         "",
		`The range of valid IPs is x/y`: "",
	} {
		got, ok := RangeInRefusal(message)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v, %v, want %q", message, got, ok, want)
		}
	}
}

func FuzzMergePrefixes(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 24, 10, 0, 1, 0, 24}, 1)
	f.Add([]byte{0, 0, 0, 0, 0, 255, 255, 255, 255, 32}, 3)
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		var in []netip.Prefix
		for ; len(raw) >= 5; raw = raw[5:] {
			in = append(in, netip.PrefixFrom(netip.AddrFrom4([4]byte(raw[:4])), int(raw[4])%33))
		}
		merged := MergePrefixes(in, max(limit, 1))
		for _, prefix := range in {
			if prefix = prefix.Masked(); routable(prefix) && !containsPrefix(merged, prefix) {
				t.Errorf("%s of %v is lost in %v", prefix, in, merged)
			}
		}
		for i := 1; i < len(merged); i++ {
			if merged[i-1].Overlaps(merged[i]) {
				t.Errorf("%v overlap", merged)
			}
		}
	})
}
