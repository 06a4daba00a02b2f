// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// windowsSystem applies steps by the IP Helper API. There is one routing table, in which longer prefixes win: an
// exemption is a host route to where the address goes without the tunnel. Nothing of it outlives a reboot.
type windowsSystem struct{}

func newSystem(int) system { return windowsSystem{} }

// freeSlot returns 0: there is one table.
func freeSlot(context.Context) (int, error) { return 0, nil }

func (windowsSystem) apply(ctx context.Context, step Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := apply(step)
	if step.Remove && (errors.Is(err, windows.ERROR_NOT_FOUND) || errors.Is(err, errNoInterface)) ||
		!step.Remove && errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS) {
		return nil
	}
	return err
}

func apply(step Step) error {
	name := step.Device
	if step.Op == OpExempt {
		name = step.Through
	}
	if step.Op == OpUp || step.Op == OpRule { // an adapter is up when it exists, and there are no rules
		return nil
	}
	luid, err := findInterface(name)
	if err != nil {
		return err
	}
	switch {
	case step.Op == OpAddress && step.Remove:
		return luid.DeleteIPAddress(step.Prefix)
	case step.Op == OpAddress:
		return luid.AddIPAddress(step.Prefix)
	case step.Remove:
		return luid.DeleteRoute(step.Prefix, nextHop(step))
	default:
		return luid.AddRoute(step.Prefix, nextHop(step), 0)
	}
}

// nextHop returns the next hop of a route step; on the link itself, the unspecified address, as Windows wants it.
func nextHop(step Step) netip.Addr {
	switch {
	case step.Via.IsValid():
		return step.Via
	case step.Family == IPv6:
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// errNoInterface says that there is no interface of a name.
var errNoInterface = errors.New("no such interface")

func findInterface(name string) (winipcfg.LUID, error) {
	adapters, err := winipcfg.GetAdaptersAddresses(windows.AF_UNSPEC, 0)
	if err != nil {
		return 0, fmt.Errorf("read interfaces: %w", err)
	}
	for _, a := range adapters {
		if a.FriendlyName() == name {
			return a.LUID, nil
		}
	}
	return 0, fmt.Errorf("%w: %s", errNoInterface, name)
}

func (windowsSystem) locate(_ context.Context, wanted, have []Step) ([]Step, error) {
	if !slices.ContainsFunc(wanted, func(s Step) bool { return s.Op == OpExempt }) {
		return wanted, nil
	}
	table, err := readTable()
	if err != nil {
		return nil, err
	}
	return locateBy(wanted, have, table), nil
}

// readTable returns the routes of the machine, with what their interface adds to the metric.
func readTable() ([]bestRoute, error) {
	adapters, err := winipcfg.GetAdaptersAddresses(windows.AF_UNSPEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read interfaces: %w", err)
	}
	byLUID := map[winipcfg.LUID]*winipcfg.IPAdapterAddresses{}
	for _, a := range adapters {
		byLUID[a.LUID] = a
	}
	rows, err := winipcfg.GetIPForwardTable2(windows.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	var table []bestRoute
	for i := range rows {
		row := &rows[i]
		adapter := byLUID[row.InterfaceLUID]
		if adapter == nil || adapter.OperStatus != winipcfg.IfOperStatusUp || row.Loopback {
			continue
		}
		r := bestRoute{
			Prefix: row.DestinationPrefix.Prefix().Masked(), Through: adapter.FriendlyName(),
			Metric: int(row.Metric) + int(adapter.Ipv4Metric),
		}
		if via := row.NextHop.Addr(); via.IsValid() && !via.IsUnspecified() {
			r.Via = via
		}
		table = append(table, r)
	}
	return table, nil
}

// Local returns the routes of the machine other than those through the interface named except, default routes and what
// can't conflict left out. Each interface has host routes to its own addresses and broadcasts: those of a subnet that
// is there already add nothing.
func Local(_ context.Context, except string) ([]api.LocalRoute, error) {
	table, err := readTable()
	if err != nil {
		return nil, err
	}
	local := []api.LocalRoute{}
	for _, r := range table {
		if r.Through == except || !isForeign(r.Prefix) || r.Prefix.Addr() == broadcast {
			continue
		}
		local = append(local, api.LocalRoute{Prefix: r.Prefix, Interface: r.Through, Owner: ownerOf(r.Through)})
	}
	return sortLocal(local), nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// SetMTU changes the MTU of a device, in bytes, for both families.
func SetMTU(device string, mtu int) error {
	luid, err := findInterface(device)
	if err != nil {
		return fmt.Errorf("set MTU of %s to %d: %w", device, mtu, err)
	}
	for _, family := range []winipcfg.AddressFamily{windows.AF_INET, windows.AF_INET6} {
		row, err := luid.IPInterface(family)
		if errors.Is(err, windows.ERROR_NOT_FOUND) {
			continue // the family is turned off
		}
		if err == nil {
			row.NLMTU = uint32(mtu)
			err = row.Set()
		}
		if err != nil {
			return fmt.Errorf("set MTU of %s to %d: %w", device, mtu, err)
		}
	}
	return nil
}

// HasIPv6 reports whether a new device gets to use IPv6 on this machine. Adding the address shows it on Windows.
func HasIPv6() bool { return true }

// Watch yields after interfaces, addresses or routes of the machine changed, this program's own changes included.
// Changes are coalesced. The channel is closed when ctx ends.
func Watch(ctx context.Context) (<-chan struct{}, error) {
	events := make(chan struct{}, 1)
	notify := func() {
		select {
		case events <- struct{}{}:
		default:
		}
	}
	onRoutes, err := winipcfg.RegisterRouteChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibIPforwardRow2) { notify() })
	if err != nil {
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	onLinks, err := winipcfg.RegisterInterfaceChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibIPInterfaceRow) { notify() })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch interfaces: %w", err), onRoutes.Unregister())
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer func() { _ = errors.Join(onRoutes.Unregister(), onLinks.Unregister()) }() // the process is as good as done with them
		for {
			select {
			case <-ctx.Done():
				return
			case <-events:
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
