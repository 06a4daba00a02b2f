// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"net/netip"
	"slices"
)

// maxUDPEndpoints is how many endpoints a laptop is told of; it tries them all at once.
const maxUDPEndpoints = 8

// UDPType says how datagrams reach the gateway from outside, as the chart's value udp.type does.
type UDPType string

const (
	UDPNodePort     UDPType = "NodePort"
	UDPLoadBalancer UDPType = "LoadBalancer"
	UDPHostPort     UDPType = "HostPort"
	UDPNone         UDPType = "None"
)

// Node is what matters of a node for reaching the gateway through it.
type Node struct {
	Name     string
	Ready    bool
	External []netip.Addr
	Internal []netip.Addr
}

// EndpointFacts is all that the gateway knows about how it is reached by UDP.
type EndpointFacts struct {
	Type       UDPType
	Port       uint16           // the gateway's own
	Advertised []netip.AddrPort // from the chart's values; they replace the rest
	OwnNode    string
	Nodes      []Node
	NodePort   uint16 // of the Service; 0 while it has none
	Ingress    []netip.Addr
}

// UDPEndpoints decides which endpoints laptops try, best first, at most 8: external addresses before internal ones,
// and the gateway's own node first, because it saves a hop.
func UDPEndpoints(f EndpointFacts) []netip.AddrPort {
	if len(f.Advertised) > 0 {
		return limitEndpoints(f.Advertised)
	}
	var endpoints []netip.AddrPort
	switch f.Type {
	case UDPNodePort:
		if f.NodePort == 0 {
			return nil
		}
		nodes := slices.DeleteFunc(slices.Clone(f.Nodes), func(n Node) bool { return !n.Ready && n.Name != f.OwnNode })
		slices.SortFunc(nodes, func(a, b Node) int {
			return cmp.Or(-compareBool(a.Name == f.OwnNode, b.Name == f.OwnNode), cmp.Compare(a.Name, b.Name))
		})
		endpoints = nodeEndpoints(nodes, f.NodePort)
	case UDPHostPort:
		nodes := slices.DeleteFunc(slices.Clone(f.Nodes), func(n Node) bool { return n.Name != f.OwnNode })
		endpoints = nodeEndpoints(nodes, f.Port)
	case UDPLoadBalancer:
		for _, address := range f.Ingress {
			endpoints = append(endpoints, netip.AddrPortFrom(address, f.Port))
		}
	}
	return limitEndpoints(endpoints)
}

// nodeEndpoints lists the first node's addresses, then one address of each other node, then what is left of them.
func nodeEndpoints(nodes []Node, port uint16) []netip.AddrPort {
	var first, rest []netip.AddrPort
	for i, node := range nodes {
		for j, address := range slices.Concat(node.External, node.Internal) {
			endpoint := netip.AddrPortFrom(address, port)
			if i == 0 || j == 0 {
				first = append(first, endpoint)
			} else {
				rest = append(rest, endpoint)
			}
		}
	}
	return append(first, rest...)
}

// limitEndpoints drops doubles, and what is more than a laptop is told of.
func limitEndpoints(endpoints []netip.AddrPort) []netip.AddrPort {
	var kept []netip.AddrPort
	for _, endpoint := range endpoints {
		usable := endpoint.Addr().IsGlobalUnicast() && endpoint.Port() != 0
		if usable && !slices.Contains(kept, endpoint) && len(kept) < maxUDPEndpoints {
			kept = append(kept, endpoint)
		}
	}
	return kept
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
