// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/netip"
	"testing"
)

func TestPlanGivesEveryHostItsOwnAddress(t *testing.T) {
	seen := map[netip.Addr]string{}
	for index := range maximumIndex {
		plan := makePlan(Config{Nodes: maximumNodes, Laptops: maximumLaptops, Family: Dual}, index)
		members := append(append([]Member{plan.Router}, plan.Nodes...), plan.Laptops...)
		for _, member := range members {
			if !plan.Link4.Contains(member.IPv4) || !plan.Link6.Contains(member.IPv6) {
				t.Fatalf("%s of cluster %d is outside its link: %v", member.Name, index, member.Addresses())
			}
			for _, address := range member.Addresses() {
				if other := seen[address]; other != "" {
					t.Fatalf("%s of cluster %d has the address %s of %s", member.Name, index, address, other)
				}
				seen[address] = member.Name
			}
		}
	}
}

func TestPlanPodRanges(t *testing.T) {
	plan := makePlan(Config{Nodes: 3, Laptops: 1, Family: Dual}, 0)
	for i, node := range plan.Nodes {
		if !podRange4.Contains(node.Pods4.Addr()) || !podRange6.Contains(node.Pods6.Addr()) {
			t.Errorf("pods of %s are outside the cluster's range: %s, %s", node.Name, node.Pods4, node.Pods6)
		}
		for _, other := range plan.Nodes[:i] {
			if other.Pods4.Overlaps(node.Pods4) || other.Pods6.Overlaps(node.Pods6) {
				t.Errorf("pods of %s and %s overlap", node.Name, other.Name)
			}
		}
	}
}

func TestIPv4PlanHasNoIPv6(t *testing.T) {
	plan := makePlan(Config{Nodes: 1, Laptops: 1, Family: IPv4}, 3)
	if got := plan.Laptops[0].Addresses(); len(got) != 1 || got[0].String() != "192.168.103.21" {
		t.Errorf("laptop1 has %v", got)
	}
	if got, want := plan.family(podRange4, podRange6), "10.244.0.0/16"; got != want {
		t.Errorf("pod range %s, want %s", got, want)
	}
	if got, want := plan.apiServer(), "https://192.168.103.11:6443"; got != want {
		t.Errorf("API server %s, want %s", got, want)
	}
}

func TestConfigDefaultsAndBounds(t *testing.T) {
	config, err := Config{}.withDefaults()
	if err != nil || config.Name != "dev" || config.Nodes != 1 || config.Laptops != 1 || config.Family != IPv4 {
		t.Errorf("defaults: %+v, %v", config, err)
	}
	for _, bad := range []Config{
		{Name: "Up/..", Root: "/"}, {Name: "averyverylongname", Root: "/"}, {Nodes: 9, Root: "/"}, {Laptops: -1, Root: "/"},
		{Family: "ipv5", Root: "/"}, {Resolver: "hosts", Root: "/"},
	} {
		if _, err := bad.withDefaults(); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
