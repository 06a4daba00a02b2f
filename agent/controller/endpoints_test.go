// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestUDPEndpoints(t *testing.T) {
	nodes := []Node{
		{Name: "a", Ready: true, External: addrs("203.0.113.1 2001:db8::1"), Internal: addrs("10.0.0.1")},
		{Name: "b", Ready: true, External: addrs("203.0.113.2"), Internal: addrs("10.0.0.2")},
		{Name: "c", Ready: false, Internal: addrs("10.0.0.3")},
	}
	var many []Node
	for i := range 20 {
		many = append(many, Node{Name: fmt.Sprintf("n%02d", i), Ready: true, Internal: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}})
	}
	for _, test := range []struct {
		name  string
		facts EndpointFacts
		want  string
	}{
		{"node port", EndpointFacts{Type: UDPNodePort, NodePort: 30000, OwnNode: "b", Nodes: nodes},
			"203.0.113.2:30000 10.0.0.2:30000 203.0.113.1:30000 [2001:db8::1]:30000 10.0.0.1:30000"},
		{"own node not ready is tried all the same", EndpointFacts{Type: UDPNodePort, NodePort: 30000, OwnNode: "c", Nodes: nodes[1:]},
			"10.0.0.3:30000 203.0.113.2:30000 10.0.0.2:30000"},
		{"no node port yet", EndpointFacts{Type: UDPNodePort, Nodes: nodes}, ""},
		{"many nodes", EndpointFacts{Type: UDPNodePort, NodePort: 30000, OwnNode: "n05", Nodes: many},
			"10.0.0.5:30000 10.0.0.0:30000 10.0.0.1:30000 10.0.0.2:30000 10.0.0.3:30000 10.0.0.4:30000 10.0.0.6:30000 10.0.0.7:30000"},
		{"host port", EndpointFacts{Type: UDPHostPort, Port: 51820, OwnNode: "b", Nodes: nodes}, "203.0.113.2:51820 10.0.0.2:51820"},
		{"load balancer", EndpointFacts{Type: UDPLoadBalancer, Port: 51820, NodePort: 30000, Nodes: nodes, Ingress: addrs("198.51.100.7")}, "198.51.100.7:51820"},
		{"load balancer pending", EndpointFacts{Type: UDPLoadBalancer, Port: 51820, NodePort: 30000, Nodes: nodes}, ""},
		{"none", EndpointFacts{Type: UDPNone, Port: 51820, Nodes: nodes}, ""},
		{"advertised", EndpointFacts{Type: UDPNone, Nodes: nodes, Advertised: []netip.AddrPort{
			netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("127.0.0.1:2")}}, "192.0.2.1:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Trim(fmt.Sprint(UDPEndpoints(test.facts)), "[")
			got = strings.TrimSuffix(got, "]")
			if want := test.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
