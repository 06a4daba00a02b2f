// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/helper/api"
)

const (
	// firstTable is the number of the routing table that the tunnel's routes are in, and the priority of the rules
	// that consult it: before the main table (32766) and the rules that wg-quick makes for a VPN that takes everything
	// (just below 32766). The next ones are taken when somebody else uses it.
	firstTable = 26220
	lastTable  = firstTable + 15

	// loopback is the input interface that the kernel gives packets which this machine itself sends.
	loopback = "lo"
)

// linux applies steps by netlink. Its slot is the number of the routing table.
type linux struct{ table int }

func newSystem(slot int) system { return linux{table: slot} }

// freeSlot returns the number of a routing table that nobody uses.
func freeSlot(context.Context) (int, error) {
	used := map[int]bool{}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return 0, fmt.Errorf("read routing rules: %w", err)
	}
	for _, r := range rules {
		used[r.Table], used[r.Priority] = true, true
	}
	routes, err := allRoutes()
	if err != nil {
		return 0, err
	}
	for _, r := range routes {
		used[r.Table] = true
	}
	for table := firstTable; table <= lastTable; table++ {
		if !used[table] {
			return table, nil
		}
	}
	return 0, &api.Error{
		Code:    api.CodeSystem,
		Message: fmt.Sprintf("the routing tables %d to %d are all in use", firstTable, lastTable),
		Hint:    "run fairlead-helper restore; then look for other users with: ip rule show",
	}
}

// allRoutes returns the routes of all tables and both families. A family that the kernel lacks has none.
func allRoutes() ([]netlink.Route, error) {
	var all []netlink.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		all = append(all, routes...)
	}
	return all, nil
}

// Local returns the routes of the machine other than those through the interface named except: of every table, default
// routes and what can't conflict left out.
func Local(_ context.Context, except string) ([]api.LocalRoute, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("read interfaces: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, link := range links {
		names[link.Attrs().Index] = link.Attrs().Name
	}
	routes, err := allRoutes()
	if err != nil {
		return nil, err
	}
	local := []api.LocalRoute{}
	for _, r := range routes {
		if r.Table == unix.RT_TABLE_LOCAL || r.Type != unix.RTN_UNICAST || r.Dst == nil {
			continue
		}
		prefix, ok := prefixOf(r.Dst)
		device := names[outputOf(r)]
		if !ok || !isForeign(prefix) || device == except || device == loopback {
			continue
		}
		local = append(local, api.LocalRoute{Prefix: prefix, Interface: device, Owner: ownerOf(device)})
	}
	return sortLocal(local), nil
}

// outputOf returns the index of the interface that a route leads to; of several, the first.
func outputOf(r netlink.Route) int {
	if r.LinkIndex == 0 && len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr.Unmap(), bits).Masked(), true
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// locate has nothing to fill in: exemptions are throw routes.
func (linux) locate(_ context.Context, wanted, _ []Step) ([]Step, error) { return wanted, nil }

func (l linux) apply(ctx context.Context, step Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := l.make(step)
	if step.Remove && isGone(err) || !step.Remove && errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// isGone reports whether an error of a removal says that there was nothing to remove.
func isGone(err error) bool {
	var noLink netlink.LinkNotFoundError
	return errors.As(err, &noLink) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EAFNOSUPPORT)
}

func (l linux) make(step Step) error {
	switch step.Op {
	case OpAddress, OpUp, OpRoute:
		link, err := netlink.LinkByName(step.Device)
		if err != nil {
			return err
		}
		return l.makeOn(link, step)
	case OpExempt:
		return changeRoute(step.Remove, &netlink.Route{
			Dst: ipNet(step.Prefix), Table: l.table, Type: unix.RTN_THROW, Family: netlinkFamily(step.Family),
		})
	case OpRule:
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Table, rule.IifName = netlinkFamily(step.Family), l.table, l.table, loopback
		if step.Remove {
			return netlink.RuleDel(rule)
		}
		return netlink.RuleAdd(rule)
	}
	return fmt.Errorf("unknown step %q", step.Op)
}

func (l linux) makeOn(link netlink.Link, step Step) error {
	switch step.Op {
	case OpAddress:
		addr := &netlink.Addr{IPNet: ipNet(step.Prefix), Flags: unix.IFA_F_NOPREFIXROUTE}
		if step.Family == IPv6 {
			addr.Flags |= unix.IFA_F_NODAD // nobody else is on this link
		}
		if step.Remove {
			return netlink.AddrDel(link, addr)
		}
		return netlink.AddrAdd(link, addr)
	case OpUp:
		if step.Remove {
			return netlink.LinkSetDown(link)
		}
		if link.Attrs().Flags&net.FlagUp != 0 {
			return nil
		}
		keepQuiet(step.Device)
		return netlink.LinkSetUp(link)
	default:
		return changeRoute(step.Remove, &netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: ipNet(step.Prefix), Src: step.Source.AsSlice(), Table: l.table,
			Scope: netlink.SCOPE_LINK, Family: netlinkFamily(step.Family),
		})
	}
}

func changeRoute(remove bool, route *netlink.Route) error {
	if remove {
		return netlink.RouteDel(route)
	}
	return netlink.RouteAdd(route)
}

// keepQuiet stops the kernel from giving the device a link-local address and looking for routers on it. Neither does
// harm, so that an error is none.
func keepQuiet(device string) {
	const none = "1" // IN6_ADDR_GEN_MODE_NONE, include/uapi/linux/if_link.h
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+device+"/addr_gen_mode", []byte(none), 0)
}

func netlinkFamily(f Family) int {
	if f == IPv6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

// SetMTU changes the MTU of a device, in bytes.
func SetMTU(device string, mtu int) error {
	link, err := netlink.LinkByName(device)
	if err == nil {
		err = netlink.LinkSetMTU(link, mtu)
	}
	if err != nil {
		return fmt.Errorf("set MTU of %s to %d: %w", device, mtu, err)
	}
	return nil
}

// HasIPv6 reports whether a new device gets to use IPv6 on this machine.
func HasIPv6() bool {
	for _, scope := range []string{"all", "default"} {
		off, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + scope + "/disable_ipv6")
		if err != nil || strings.TrimSpace(string(off)) != "0" {
			return false
		}
	}
	return true
}
