// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
	"github.com/fairlead-dev/fairlead/helper/routes"
	"github.com/fairlead-dev/fairlead/helper/wireguard"
)

const (
	// firstMTU is the MTU of a new interface in bytes: what every path carries. WireGuard raises it.
	firstMTU = 1280
	// maxDevices is how many interface names are tried.
	maxDevices = 8
)

// Machine is this computer, as far as packets are concerned.
type Machine struct{ log *slog.Logger }

// NewMachine returns the machine that the process runs on.
func NewMachine(log *slog.Logger) *Machine { return &Machine{log: log} }

// Kinds returns the journal entries that a tunnel makes and how they are undone.
func Kinds() []restore.Kind { return append(routes.Kinds(), wireguard.Kinds()...) }

// LocalRoutes returns the routes that the machine has, default routes left out.
func (m *Machine) LocalRoutes(ctx context.Context) ([]api.LocalRoute, error) {
	return routes.Local(ctx, "")
}

// Prepare makes the key pair of a session. It changes nothing on the machine.
func (m *Machine) Prepare(context.Context) (*Prepared, error) {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return nil, fmt.Errorf("make WireGuard key: %w", err)
	}
	return &Prepared{log: m.log, key: key, publicKey: key.PublicKey().String()}, nil
}

// Prepared is a session with a key and without a tunnel. Its methods may not be called at the same time.
type Prepared struct {
	log       *slog.Logger
	key       wgtypes.Key
	publicKey string
}

// PublicKey is the WireGuard public key in base64.
func (p *Prepared) PublicKey() string { return p.publicKey }

// Close forgets the key.
func (p *Prepared) Close() { clear(p.key[:]) }

// Up makes the interface, WireGuard on it, addresses and routes. Every change is in journal before it is made; when Up
// fails everything is put back. A route conflict is found before anything is changed.
func (p *Prepared) Up(ctx context.Context, wanted api.Tunnel, journal *restore.Journal) (_ *Tunnel, err error) {
	t := &Tunnel{log: p.log, wanted: wanted}
	if !routes.HasIPv6() && slices.ContainsFunc(wanted.Addresses, netip.Addr.Is6) {
		t.withoutIPv6 = true
	}
	plan := t.plan("", wanted)
	if len(plan.Addresses) == 0 {
		return nil, &api.Error{
			Code: api.CodeSystem, Message: "the tunnel has no address that this machine can use",
			Hint: "turn IPv6 on, or ask for the gateway to be given an IPv4 range",
		}
	}
	if err := checkConflicts(ctx, plan, plan.Routes, ""); err != nil {
		return nil, err
	}
	peer, err := peerOf(wanted.Peer, plan)
	if err != nil {
		return nil, err
	}

	device, name, err := openDevice(p.log)
	if err != nil {
		return nil, err
	}
	t.name = name
	plan = t.plan(name, wanted)
	t.filter = newFilter(plan.Addresses, wanted.InboundPorts)
	t.wireguard, err = wireguard.Open(wireguard.Config{
		TUN: newFiltered(device, t.filter), Name: name, Key: p.key, Peer: peer, Carrier: wanted.Carrier,
		SetMTU:  func(bytes int) error { return routes.SetMTU(name, bytes) },
		Journal: journal, Log: p.log,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close(context.WithoutCancel(ctx)))
		}
	}()
	if t.table, err = routes.Open(ctx, journal); err != nil {
		return nil, err
	}
	if err = t.table.Set(ctx, plan); err != nil {
		return nil, systemError(err)
	}
	return t, t.watch()
}

// openDevice makes the tunnel's interface under the first name that is free.
func openDevice(log *slog.Logger) (tun.Device, string, error) {
	var last error
	for i := range maxDevices {
		name := deviceName(i)
		if _, err := net.InterfaceByName(name); err == nil || !wireguard.ControlFree(name) {
			last = fmt.Errorf("an interface or a WireGuard socket named %s exists", name)
			continue
		}
		device, err := tun.CreateTUN(name, firstMTU)
		if err != nil {
			return nil, "", &api.Error{
				Code: api.CodeSystem, Message: "no tunnel interface can be made: " + err.Error(), Hint: deviceHint,
			}
		}
		if name, err = device.Name(); err != nil {
			return nil, "", errors.Join(fmt.Errorf("read name of tunnel interface: %w", err), device.Close())
		}
		if err := setQueueLength(name); err != nil { // it works all the same
			log.Warn("the tunnel interface keeps its short queue", "error", err)
		}
		return writeAlone(device), name, nil
	}
	return nil, "", &api.Error{
		Code: api.CodeSystem, Message: "no tunnel interface can be made: " + last.Error(),
		Hint: "disconnect other sessions, or run fairlead-helper restore",
	}
}

// checkConflicts returns an *api.Error when prefixes overlap routes that the machine has outside device.
func checkConflicts(ctx context.Context, plan routes.Plan, prefixes []netip.Prefix, device string) error {
	local, err := routes.Local(ctx, device)
	if err != nil {
		return err
	}
	conflicts := routes.Conflicts(prefixes, plan.Exempt, local)
	if len(conflicts) == 0 {
		return nil
	}
	first := conflicts[0]
	where := first.Existing.Interface
	if first.Existing.Owner != "" {
		where += " (" + first.Existing.Owner + ")"
	}
	message := fmt.Sprintf("the cluster's range %s overlaps %s, which this machine reaches through %s",
		first.Wanted, first.Existing.Prefix, where)
	if more := len(conflicts) - 1; more > 0 {
		message += fmt.Sprintf(", and there are %d more such overlaps", more)
	}
	return &api.Error{
		Code: api.CodeRouteConflict, Message: message, Conflicts: conflicts,
		Hint: fmt.Sprintf("connect with --map-conflicts to reach the range under other addresses, or leave it out with --exclude %s",
			first.Wanted),
	}
}

// peerOf makes WireGuard's peer of the gateway.
func peerOf(peer api.Peer, plan routes.Plan) (wireguard.Peer, error) {
	key, err := base64.StdEncoding.DecodeString(peer.PublicKey)
	if err != nil || len(key) != wgtypes.KeyLen {
		return wireguard.Peer{}, &api.Error{
			Code: api.CodeBadRequest, Message: "the gateway's public key is not a WireGuard key",
			Hint: "check that client and gateway have the same version",
		}
	}
	udp := make([]netip.AddrPort, len(peer.UDP))
	for i, endpoint := range peer.UDP {
		udp[i] = netip.AddrPortFrom(endpoint.Addr().Unmap(), endpoint.Port())
	}
	return wireguard.Peer{PublicKey: wgtypes.Key(key), UDP: udp, Allowed: plan.Routes}, nil
}

// systemError makes an error of the operating system one that people can act on.
func systemError(err error) error {
	var known *api.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return &api.Error{
		Code: api.CodeSystem, Message: "the operating system refused a change: " + err.Error() + "; everything was put back",
		Hint: "see the helper's log, and run fairlead doctor",
	}
}
