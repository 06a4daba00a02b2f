// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// filtered is the tunnel's interface behind the inbound filter. It also keeps from WireGuard when the interface goes
// up and down: WireGuard would close its sockets and forget its keys, and whether it runs is decided here.
type filtered struct {
	tun.Device
	filter *filter
	events chan tun.Event
}

func newFiltered(device tun.Device, f *filter) *filtered {
	d := &filtered{Device: device, filter: f, events: make(chan tun.Event, 5)}
	go func() {
		defer close(d.events)
		for event := range device.Events() {
			if event&tun.EventMTUUpdate != 0 {
				d.events <- tun.EventMTUUpdate
			}
		}
	}()
	return d
}

// Events yields changes of the MTU.
func (d *filtered) Events() <-chan tun.Event { return d.events }

// Read returns packets that this machine sends.
func (d *filtered) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := d.Device.Read(bufs, sizes, offset)
	now := time.Now()
	for i := range n {
		d.filter.outbound(now, bufs[i][offset:offset+sizes[i]])
	}
	return n, err
}

// Write gives packets from the tunnel to this machine, those that may enter.
func (d *filtered) Write(bufs [][]byte, offset int) (int, error) {
	now := time.Now()
	allowed := bufs[:0] // the caller does not look at the order afterwards
	for _, b := range bufs {
		if d.filter.inbound(now, b[offset:]) {
			allowed = append(allowed, b)
		}
	}
	if len(allowed) == 0 {
		return 0, nil
	}
	return d.Device.Write(allowed, offset)
}
