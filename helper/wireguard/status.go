// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"fmt"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// Status is what a Device knows of itself.
type Status struct {
	MTU       int // bytes, inside the tunnel
	Carrier   api.CarrierName
	UDP       api.CarrierHealth
	Relay     api.CarrierHealth
	Handshake time.Time // zero if there was none
	Received  uint64    // bytes
	Sent      uint64    // bytes
	Notes     []string
}

// Status returns what is known now.
func (d *Device) Status() Status {
	now := time.Now()
	d.mu.Lock()
	s := Status{MTU: d.mtu, Carrier: d.prober.active}
	s.UDP, s.Relay = d.prober.report(now)
	d.mu.Unlock()
	s.UDP.Error, s.Relay.Error = d.bind.udpError.String(), d.bind.relayError.String()
	if !s.Relay.Configured {
		s.Relay.Error = ""
	}
	s.Handshake, s.Received, s.Sent = d.control.counters()
	select {
	case <-d.wg.Wait():
		s.UDP.Error, s.Relay.Error = interfaceGone, interfaceGone
		s.Notes = append(s.Notes, interfaceGone+": disconnect and connect again")
		return s
	default:
	}
	if size := d.bind.receiveBuffer(); size > 0 && size < socketBufferNote {
		s.Notes = append(s.Notes, fmt.Sprintf("the UDP receive buffer is only %d KiB, which limits downloads over UDP: "+
			"raise the sysctl net.core.rmem_max to %d", size>>10, sockets.BufferSize))
	}
	return s
}

// interfaceGone is said when WireGuard ended by itself, which it does when its interface is taken away.
const interfaceGone = "the tunnel's interface was removed by another program"

// Changed yields after something in Status changed that watchers should hear of at once. There is one reader.
func (d *Device) Changed() <-chan struct{} { return d.changed }

// shown is the part of the status whose changes watchers hear of at once.
type shown struct {
	mtu                    int
	carrier                api.CarrierName
	udpConfigured          bool
	relayConfigured        bool
	udpAlive, relayAlive   bool
	udpSilent, relaySilent int
	udpEndpoint            string
	udpError, relayError   string
}

// announce tells watchers when something changed that they want to hear of. The caller holds mu.
func (d *Device) announce() {
	udp, relay := &d.prober.udp, &d.prober.relay
	now := shown{
		mtu: d.mtu, carrier: d.prober.active,
		udpConfigured: udp.configured, relayConfigured: relay.configured,
		udpAlive: udp.alive(), relayAlive: relay.alive(),
		udpSilent: min(udp.health.Unanswered, announcedSilence), relaySilent: min(relay.health.Unanswered, announcedSilence),
		udpEndpoint: d.prober.endpoint().String(),
		udpError:    d.bind.udpError.String(), relayError: d.bind.relayError.String(),
	}
	if now != d.shown {
		d.shown = now
		wake(d.changed)
	}
}

// announcedSilence is up to how many probes without an answer each is announced at once.
const announcedSilence = 5
