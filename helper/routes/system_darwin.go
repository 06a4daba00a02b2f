// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// darwin applies steps with the system's own tools. There is one routing table, in which longer prefixes win: an
// exemption is a host route to where the address goes without the tunnel.
type darwin struct{}

func newSystem(int) system { return darwin{} }

// freeSlot returns 0: there is one table.
func freeSlot(context.Context) (int, error) { return 0, nil }

func (darwin) apply(ctx context.Context, step Step) error {
	command := bsdCommand(step)
	if len(command) == 0 {
		return nil
	}
	output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	text := strings.TrimSpace(string(output))
	switch {
	case step.Remove && bsdGone(text), !step.Remove && bsdPresent(text):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, text)
	}
	return nil
}

func (darwin) locate(_ context.Context, wanted, have []Step) ([]Step, error) {
	if !slices.ContainsFunc(wanted, func(s Step) bool { return s.Op == OpExempt }) {
		return wanted, nil
	}
	table, err := readTable()
	if err != nil {
		return nil, err
	}
	return locateBy(wanted, have, table), nil
}

// readTable returns the routes of the machine that packets can take.
func readTable() ([]bestRoute, error) {
	raw, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, raw)
	if err != nil {
		return nil, fmt.Errorf("parse routes: %w", err)
	}
	names := map[int]string{}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read interfaces: %w", err)
	}
	for _, i := range interfaces {
		names[i.Index] = i.Name
	}
	var table []bestRoute
	for _, message := range messages {
		m, ok := message.(*route.RouteMessage)
		const unusable = unix.RTF_REJECT | unix.RTF_BLACKHOLE | unix.RTF_WASCLONED | unix.RTF_LLINFO | unix.RTF_LOCAL |
			unix.RTF_BROADCAST | unix.RTF_MULTICAST | unix.RTF_IFSCOPE
		if !ok || m.Flags&unix.RTF_UP == 0 || m.Flags&unusable != 0 {
			continue
		}
		if r, ok := decode(m); ok {
			r.Through = names[m.Index]
			table = append(table, r)
		}
	}
	return table, nil
}

// decode reads destination and next hop of a routing message.
func decode(m *route.RouteMessage) (bestRoute, bool) {
	if len(m.Addrs) <= unix.RTAX_NETMASK {
		return bestRoute{}, false
	}
	destination, ok := addrOf(m.Addrs[unix.RTAX_DST])
	if !ok {
		return bestRoute{}, false
	}
	bits := destination.BitLen()
	if m.Flags&unix.RTF_HOST == 0 {
		switch mask := m.Addrs[unix.RTAX_NETMASK].(type) {
		case *route.Inet4Addr:
			bits, _ = net.IPMask(mask.IP[:]).Size()
		case *route.Inet6Addr:
			bits, _ = net.IPMask(mask.IP[:]).Size()
		default:
			bits = 0
		}
	}
	r := bestRoute{Prefix: netip.PrefixFrom(destination, bits).Masked()}
	if via, ok := addrOf(m.Addrs[unix.RTAX_GATEWAY]); ok && m.Flags&unix.RTF_GATEWAY != 0 {
		r.Via = via
	}
	return r, true
}

func addrOf(a route.Addr) (netip.Addr, bool) {
	switch a := a.(type) {
	case *route.Inet4Addr:
		return netip.AddrFrom4(a.IP), true
	case *route.Inet6Addr:
		addr := netip.AddrFrom16(a.IP)
		if a.ZoneID != 0 {
			addr = addr.WithZone(strconv.Itoa(a.ZoneID))
		}
		return addr, true
	}
	return netip.Addr{}, false
}

// Local returns the routes of the machine other than those through the interface named except, default routes and what
// can't conflict left out.
func Local(_ context.Context, except string) ([]api.LocalRoute, error) {
	table, err := readTable()
	if err != nil {
		return nil, err
	}
	local := []api.LocalRoute{}
	for _, r := range table {
		if r.Through == except || !isForeign(r.Prefix) || strings.HasPrefix(r.Through, "lo") {
			continue
		}
		local = append(local, api.LocalRoute{Prefix: r.Prefix, Interface: r.Through, Owner: ownerOf(r.Through)})
	}
	return sortLocal(local), nil
}

// SetMTU changes the MTU of a device, in bytes.
func SetMTU(device string, mtu int) error {
	output, err := exec.Command("/sbin/ifconfig", device, "mtu", strconv.Itoa(mtu)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("set MTU of %s to %d: %w: %s", device, mtu, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// HasIPv6 reports whether a new device gets to use IPv6 on this machine: always on macOS.
func HasIPv6() bool { return true }

// Watch yields after links, addresses or routes of the machine changed, this program's own changes included. Changes are
// coalesced. The channel is closed when ctx ends.
func Watch(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	unix.CloseOnExec(fd)
	// Reads return now and then, so that the end of ctx is seen: closing does not wake a blocked reader.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the network: %w", err), unix.Close(fd))
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer func() { _ = unix.Close(fd) }()
		message := make([]byte, 4096)
		for ctx.Err() == nil {
			if _, err := unix.Read(fd, message); err != nil {
				if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
					continue
				}
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
