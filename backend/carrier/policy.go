// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"fmt"
	"time"
)

// Name names a way for datagrams.
type Name string

const (
	None  Name = ""
	UDP   Name = "udp"
	Relay Name = "relay"
)

// Mode is what the user asked for. Its zero value is automatic choice.
type Mode string

const (
	Auto      Mode = "auto"
	UDPOnly   Mode = "udp"
	RelayOnly Mode = "relay"
)

const (
	// deadAfter is the silence after which a carrier counts as dead: two probes of one every 500 ms, and some jitter.
	deadAfter = 1250 * time.Millisecond
	// standbyDeadAfter is the same for a relay that is not in use, which is probed every 2 s.
	standbyDeadAfter = 4500 * time.Millisecond
	// surelyDeadAfter is the silence that counts even if no probe is overdue: none was sent, then. Less may only mean
	// that this machine was too busy to send.
	surelyDeadAfter = 2500 * time.Millisecond
	// tryAfter is the silence of UDP after which an open relay is tried even if it does not answer either.
	tryAfter = 3 * time.Second
	// firstHold is how long UDP must answer steadily before traffic returns to it after it has failed. Each further
	// failure within flapWindow doubles the time, up to longestHold, so that a path that comes and goes is left alone.
	firstHold   = time.Second
	longestHold = 30 * time.Second
	flapWindow  = 2 * time.Minute
	// calmFlaps is how many failures within flapWindow do not lengthen the hold yet: one network change looks like two.
	calmFlaps = 3
)

// Health is what probes say of one carrier.
type Health struct {
	Configured bool          // an endpoint or a stream exists
	Silence    time.Duration // since the last answer; negative if there was none
	Overdue    int           // probes that should have been answered since
	Endpoint   string        // for people
	Error      string        // why it can't send, if the system says so
}

// Alive reports whether the carrier answers.
func (h Health) Alive() bool { return h.aliveWithin(deadAfter) }

func (h Health) aliveWithin(limit time.Duration) bool {
	if h.Overdue == 0 {
		limit = max(limit, surelyDeadAfter)
	}
	return h.Configured && h.Silence >= 0 && h.Silence < limit
}

// Decision is what to do now.
type Decision struct {
	Carrier Name   // to send by
	Reason  string // why, in words
	Alive   bool   // whether that carrier answers
}

// Policy chooses the carrier. It prefers UDP while that answers, falls back to the relay as soon as UDP is silent and
// the relay is not, and returns to UDP once it has been steady. It does no I/O and does not read the clock. It is not
// safe for concurrent use.
type Policy struct {
	mode   Mode
	active Name
	flaps  []time.Time // when UDP failed while in use
	steady time.Time   // since when UDP has answered without a pause; zero while it does not
}

// NewPolicy returns a Policy that starts with initial, before anything has answered.
func NewPolicy(mode Mode, initial Name) *Policy { return &Policy{mode: mode, active: initial} }

// Decide chooses by the health of both carriers at now. It must be called whenever health changes, and at least twice
// a second for silence to be noticed in time.
func (p *Policy) Decide(now time.Time, udp, relay Health) Decision {
	p.observe(now, udp)
	switch p.mode {
	case UDPOnly:
		p.active = UDP
		return Decision{Carrier: UDP, Reason: "asked for" + silenceNote(UDP, udp), Alive: udp.Alive()}
	case RelayOnly:
		p.active = Relay
		return Decision{Carrier: Relay, Reason: "asked for" + silenceNote(Relay, relay), Alive: relay.Alive()}
	}
	switch p.active {
	case UDP:
		return p.onUDP(now, udp, relay)
	default:
		return p.onRelay(now, udp, relay)
	}
}

// observe notes since when UDP has been steady.
func (p *Policy) observe(now time.Time, udp Health) {
	switch {
	case !udp.Alive():
		p.steady = time.Time{}
	case p.steady.IsZero():
		p.steady = now
	}
}

func (p *Policy) onUDP(now time.Time, udp, relay Health) Decision {
	switch {
	case udp.Alive():
		return Decision{Carrier: UDP, Reason: "UDP answers", Alive: true}
	case relay.aliveWithin(standbyDeadAfter):
		if udp.Silence >= 0 { // it had worked
			p.flaps = append(p.flaps, now)
		}
		p.active = Relay
		return Decision{Carrier: Relay, Reason: whyNotUDP(udp), Alive: true}
	case relay.Configured && (!udp.Configured || udp.Silence > tryAfter):
		p.active = Relay
		return Decision{Carrier: Relay, Reason: whyNotUDP(udp)}
	}
	return Decision{Carrier: UDP, Reason: "neither UDP nor the relay answers at the moment"}
}

func (p *Policy) onRelay(now time.Time, udp, relay Health) Decision {
	hold := p.hold(now)
	switch {
	case udp.Alive() && (!relay.Alive() || now.Sub(p.steady) >= hold):
		p.active = UDP
		return Decision{Carrier: UDP, Reason: "UDP answers", Alive: true}
	case udp.Alive():
		return Decision{Carrier: Relay, Reason: fmt.Sprintf("UDP answers again; waiting until it has done so for %s", hold), Alive: true}
	case relay.Alive():
		return Decision{Carrier: Relay, Reason: whyNotUDP(udp), Alive: true}
	case p.active == None && udp.Configured:
		p.active = UDP
	}
	if p.active == None {
		return Decision{Carrier: None, Reason: "there is no way to the gateway yet"}
	}
	return Decision{Carrier: p.active, Reason: "neither UDP nor the relay answers at the moment"}
}

// hold returns how long UDP must be steady before it is used again: nothing as long as it has not failed.
func (p *Policy) hold(now time.Time) time.Duration {
	for len(p.flaps) > 0 && now.Sub(p.flaps[0]) > flapWindow {
		p.flaps = p.flaps[1:]
	}
	if len(p.flaps) == 0 {
		return 0
	}
	hold := firstHold
	for range max(0, len(p.flaps)-calmFlaps) {
		hold = min(2*hold, longestHold)
	}
	return hold
}

// whyNotUDP says in words why the relay is used.
func whyNotUDP(udp Health) string {
	switch {
	case !udp.Configured:
		return "the gateway publishes no UDP endpoint"
	case udp.Error != "":
		return "UDP can't be sent: " + udp.Error
	case udp.Endpoint == "":
		return "UDP is not answered"
	case udp.Silence < 0:
		return "UDP to " + udp.Endpoint + " has not been answered so far"
	}
	return "UDP to " + udp.Endpoint + " is not answered"
}

func silenceNote(name Name, h Health) string {
	switch {
	case h.Alive():
		return ""
	case h.Error != "":
		return fmt.Sprintf("; %s can't be used: %s", name, h.Error)
	case !h.Configured && name == UDP:
		return "; the gateway publishes no UDP endpoint"
	}
	return fmt.Sprintf("; %s does not answer at the moment", name)
}
