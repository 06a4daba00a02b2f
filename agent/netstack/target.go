// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"net/netip"
)

// gatewayAddress reports whether a is one of our own addresses in the tunnel.
func (s *Stack) gatewayAddress(a netip.Addr) bool {
	for _, own := range s.config.Gateway {
		if own == a {
			return true
		}
	}
	return false
}

// target translates a destination that the laptop used into the cluster's address, or says why it may not be reached.
func (s *Stack) target(dst netip.Addr) (netip.Addr, error) {
	real := s.mappings.Load().ToReal(dst)
	if err := refuseAlways(real); err != nil {
		return real, err
	}
	return real, s.config.Refuse(real)
}

// Addresses of cloud metadata services, which hand out the node's credentials: AWS over IPv6, Alibaba Cloud. The IPv4
// one of the others, 169.254.169.254, is link-local.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("100.100.100.200"): true,
}

// refuseAlways says why an address is never reachable through any gateway.
func refuseAlways(a netip.Addr) error {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return errors.New("unspecified address")
	case a.IsLoopback():
		return errors.New("loopback address of the gateway")
	case a.IsLinkLocalUnicast():
		return errors.New("link-local address")
	case a.IsMulticast():
		return errors.New("multicast address")
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errors.New("broadcast address")
	case metadata[a]:
		return errors.New("metadata service of the cloud")
	}
	return nil
}
