// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

const (
	// lanBridge is the local network's switch, in the internet host.
	lanBridge = "lan"
	// uplink is every other host's only link.
	uplink = "eth0"
	// linkMTU is Ethernet's usual one, in bytes.
	linkMTU = 1500
)

// port is the name of a member's end of the link on the switch.
func port(member Member) string { return "p-" + member.Name }

// buildLAN makes the switch and the public addresses on the internet host.
func (c *Cluster) buildLAN() error {
	handle, err := openNetlink(c.internet)
	if err != nil {
		return err
	}
	defer handle.Close()
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = lanBridge, linkMTU
	if err := handle.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
		return fmt.Errorf("add local network: %w", err)
	}
	if err := configureLink(handle, lanBridge, c.plan.prefixes(c.plan.Router)); err != nil {
		return err
	}
	public := []netip.Prefix{netip.PrefixFrom(publicDNS4, 32), netip.PrefixFrom(publicWeb4, 32)}
	if c.plan.dual() {
		public = append(public, netip.PrefixFrom(publicDNS6, 128), netip.PrefixFrom(publicWeb6, 128))
	}
	return configureLink(handle, "lo", public)
}

// attach gives a host its link to the local network, its addresses and its default routes.
func (c *Cluster) attach(target *host.Host, member Member) error {
	router, err := openNetlink(c.internet)
	if err != nil {
		return err
	}
	defer router.Close()
	bridge, err := router.LinkByName(lanBridge)
	if err != nil {
		return fmt.Errorf("find local network: %w", err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU, attributes.MasterIndex = port(member), linkMTU, bridge.Attrs().Index
	link := &netlink.Veth{LinkAttrs: attributes, PeerName: uplink, PeerNamespace: netlink.NsPid(target.PID), PeerMTU: linkMTU}
	if err := router.LinkAdd(link); err != nil {
		return fmt.Errorf("add link of %s: %w", member.Name, err)
	}
	if err := configureLink(router, port(member), nil); err != nil {
		return err
	}
	own, err := openNetlink(target)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := configureLink(own, uplink, c.plan.prefixes(member)); err != nil {
		return err
	}
	for _, gateway := range c.plan.Router.Addresses() {
		if err := addRoute(own, uplink, netip.Prefix{}, gateway); err != nil {
			return fmt.Errorf("add default route of %s: %w", member.Name, err)
		}
	}
	return nil
}

// routePods tells a node how to reach the pods of the others.
func (c *Cluster) routePods(node *Node) error {
	handle, err := openNetlink(node.Host)
	if err != nil {
		return err
	}
	defer handle.Close()
	for _, other := range c.plan.Nodes {
		if other.Name == node.Name {
			continue
		}
		if err := addRoute(handle, uplink, other.Pods4, other.IPv4); err != nil {
			return fmt.Errorf("add route to pods of %s: %w", other.Name, err)
		}
		if !c.plan.dual() {
			continue
		}
		if err := addRoute(handle, uplink, other.Pods6, other.IPv6); err != nil {
			return fmt.Errorf("add route to pods of %s: %w", other.Name, err)
		}
	}
	return nil
}

// prefixes are the member's addresses with the length of the local network's prefix.
func (p Plan) prefixes(member Member) []netip.Prefix {
	prefixes := []netip.Prefix{netip.PrefixFrom(member.IPv4, p.Link4.Bits())}
	if p.dual() {
		prefixes = append(prefixes, netip.PrefixFrom(member.IPv6, p.Link6.Bits()))
	}
	return prefixes
}

// openNetlink talks to the kernel about the links of a host. The caller closes it.
func openNetlink(target *host.Host) (*netlink.Handle, error) {
	namespace, err := target.NetNS()
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	handle, err := netlink.NewHandleAt(namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink in host: %w", err)
	}
	return handle, nil
}

func configureLink(handle *netlink.Handle, name string, addresses []netip.Prefix) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, address := range addresses {
		entry := &netlink.Addr{IPNet: ipNet(address)}
		if address.Addr().Is6() {
			// Without this the address can't be used for a second, until no other host has answered for it.
			entry.Flags = unix.IFA_F_NODAD
		}
		if err := handle.AddrAdd(link, entry); err != nil {
			return fmt.Errorf("add address %s to link %s: %w", address, name, err)
		}
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

// addRoute routes to destination, or everything if that is the zero prefix, by way of gateway.
func addRoute(handle *netlink.Handle, name string, destination netip.Prefix, gateway netip.Addr) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()}
	if destination.IsValid() {
		route.Dst = ipNet(destination)
	}
	return handle.RouteAdd(route)
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
