// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/routes"
	"github.com/fairlead-dev/fairlead/helper/wireguard"
)

// settleAfter is how long after a change of the network the next is looked at: they come in flocks.
const settleAfter = 200 * time.Millisecond

// Tunnel is a tunnel that is up. Status, Changed and ServeRelay may be called at any time; Update and Close not at the
// same time as one another.
type Tunnel struct {
	log         *slog.Logger
	name        string // of the interface
	withoutIPv6 bool   // the machine has IPv6 turned off
	filter      *filter
	wireguard   *wireguard.Device
	table       *routes.Table // nil while Up has not come that far

	wanted api.Tunnel

	stop     context.CancelFunc
	watching sync.WaitGroup
}

// Device is the interface's name.
func (t *Tunnel) Device() string { return t.name }

// plan makes the routing plan of what is wanted. The gateway's addresses are routed as well.
func (t *Tunnel) plan(device string, wanted api.Tunnel) routes.Plan {
	prefixes := slices.Clone(wanted.Routes)
	for _, addr := range wanted.Peer.Addresses {
		prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}
	exempt := slices.Clone(wanted.Exempt)
	for _, endpoint := range wanted.Peer.UDP {
		exempt = append(exempt, endpoint.Addr())
	}
	plan := routes.NewPlan(device, wanted.Addresses, prefixes, exempt)
	if t.withoutIPv6 {
		plan = plan.WithoutIPv6()
	}
	return plan
}

// Status returns what the tunnel knows of itself.
func (t *Tunnel) Status() api.Status {
	s := t.wireguard.Status()
	status := api.Status{
		Device: t.name, MTU: s.MTU, Carrier: s.Carrier, UDP: s.UDP, Relay: s.Relay,
		Received: s.Received, Sent: s.Sent, Notes: s.Notes,
	}
	if !s.Handshake.IsZero() {
		status.Handshake = &s.Handshake
	}
	if t.withoutIPv6 {
		status.Notes = append(status.Notes, "this machine has IPv6 turned off: only IPv4 goes through the tunnel")
	}
	return status
}

// Changed yields after something in Status changed that watchers should hear of at once.
func (t *Tunnel) Changed() <-chan struct{} { return t.wireguard.Changed() }

// Update applies all of change, or nothing.
func (t *Tunnel) Update(ctx context.Context, change api.UpdateRequest) error {
	wanted := merge(t.wanted, change)
	before, after := t.plan(t.name, t.wanted), t.plan(t.name, wanted)
	added := slices.DeleteFunc(slices.Clone(after.Routes), func(p netip.Prefix) bool { return slices.Contains(before.Routes, p) })
	if len(added) > 0 {
		if err := checkConflicts(ctx, after, added, t.name); err != nil {
			return err
		}
	}
	peer, err := peerOf(wanted.Peer, after)
	if err != nil {
		return err
	}
	if err := t.table.Set(ctx, after); err != nil {
		return systemError(err)
	}
	if change.Peer != nil || change.Routes != nil || change.Addresses != nil {
		if err := t.wireguard.SetPeer(peer); err != nil {
			return errors.Join(err, t.table.Set(context.WithoutCancel(ctx), before))
		}
	}
	t.filter.configure(after.Addresses, wanted.InboundPorts)
	t.wanted = wanted
	return t.wireguard.SetCarrier(wanted.Carrier)
}

// merge returns wanted with the parts of change that are set.
func merge(wanted api.Tunnel, change api.UpdateRequest) api.Tunnel {
	replace(&wanted.Peer, change.Peer)
	replace(&wanted.Addresses, change.Addresses)
	replace(&wanted.Routes, change.Routes)
	replace(&wanted.Exempt, change.Exempt)
	replace(&wanted.InboundPorts, change.InboundPorts)
	replace(&wanted.Carrier, change.Carrier)
	return wanted
}

func replace[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// ServeRelay uses conn as the relay carrier until the stream ends, another call takes over, or ctx or the tunnel ends,
// and closes conn. It returns nil when another call took over or the tunnel was closed, otherwise why the stream ended.
func (t *Tunnel) ServeRelay(ctx context.Context, conn net.Conn) error {
	return t.wireguard.ServeRelay(ctx, conn)
}

// watch follows changes of the machine's network until Close.
func (t *Tunnel) watch() error {
	ctx, cancel := context.WithCancel(context.Background())
	changes, err := routes.Watch(ctx)
	if err != nil {
		cancel()
		return err
	}
	t.stop = cancel
	t.watching.Go(func() {
		for range changes {
			t.wireguard.NetworkChanged()
			if err := t.table.Repair(ctx); err != nil && ctx.Err() == nil {
				t.log.Warn("repair routes after a change of the network", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(settleAfter):
			}
		}
	})
	return nil
}

// Close puts back everything that Up and Update changed. It goes on after errors and returns them joined.
func (t *Tunnel) Close(ctx context.Context) error {
	if t.stop != nil {
		t.stop()
		t.watching.Wait()
	}
	var errs []error
	if t.table != nil {
		errs = append(errs, t.table.Close(ctx))
	}
	errs = append(errs, t.wireguard.Close())
	t.log.Debug("tunnel closed", "device", t.name, "dropped", t.filter.dropped.Load())
	go debug.FreeOSMemory() // WireGuard's buffers
	return errors.Join(errs...)
}
