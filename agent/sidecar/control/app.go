// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// appTimeout bounds the dialing of the app, which is in the same pod; only an app that does not accept takes longer.
const appTimeout = 30 * time.Second

// DialApp connects to the app's port: at the address that was called if it is the pod's, then the pod's others, then
// loopback, for apps that listen there alone. Calls from the pod to itself are never redirected.
func (d *Duty) DialApp(ctx context.Context, port uint16, called netip.Addr) (net.Conn, error) {
	return d.dialApp(ctx, "tcp", port, called)
}

func (d *Duty) dialApp(ctx context.Context, network string, port uint16, called netip.Addr) (net.Conn, error) {
	d.mu.Lock()
	pod := d.order.PodAddresses
	if len(pod) == 0 {
		pod = d.podAddresses
	}
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, appTimeout)
	defer cancel()
	dialer := net.Dialer{ControlContext: withinPod}
	dialer.SetMultipathTCP(false)
	var failed error
	for _, address := range appAddresses(pod, called) {
		conn, err := dialer.DialContext(ctx, network, netip.AddrPortFrom(address, port).String())
		if err == nil {
			return conn, nil
		}
		if failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to the app: %w", failed)
}

// appAddresses are those at which the app may listen, in the order to try them.
func appAddresses(pod []netip.Addr, called netip.Addr) []netip.Addr {
	called = called.Unmap().WithZone("")
	var addresses []netip.Addr
	add := func(address netip.Addr) {
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	if slices.Contains(pod, called) || called.IsValid() && len(pod) == 0 {
		add(called)
	}
	for _, sameFamily := range []bool{true, false} {
		for _, address := range pod {
			if (address.Is4() == called.Is4()) == sameFamily {
				add(address)
			}
		}
	}
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	if called.Is6() {
		v4, v6 = v6, v4
	}
	add(v4)
	add(v6)
	return addresses
}
