// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/helper/api"
)

const (
	probeEvery        = 500 * time.Millisecond // on the carrier in use, and on UDP while the relay is in use
	probeDeadEvery    = time.Second            // on UDP that has been silent for probeDeadAfter
	probeDeadAfter    = time.Minute
	probeStandbyEvery = 2 * time.Second // on the relay while UDP is in use

	// overdueMin and overdueMax bound the time after which a probe counts as unanswered.
	overdueMin = 400 * time.Millisecond
	overdueMax = 2 * time.Second

	// lateSamples is how many late answers in a row it takes to believe that the path became that slow: single ones are
	// of probes that waited for a link to come back.
	lateSamples = 3

	// maxPending bounds how many probes of a carrier are remembered.
	maxPending = 32

	// candidateBits of a probe's sequence number say which UDP endpoint it went to.
	candidateBits = 4
)

// burst is how soon after each other probes go out when a carrier is new or the network changed, before the regular
// interval begins.
var burst = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// probe is one datagram that the prober wants sent.
type probe struct {
	carrier   api.CarrierName
	endpoint  netip.AddrPort // UDP only
	size      int            // of the datagram in bytes; 0 is the smallest
	sequence  uint64
	unbroken  bool // must not be fragmented on the way
	tunnelMTU int
}

// prober decides which probes to send when, and what the answers say of the carriers. It is pure: time comes from
// outside, and sending is up to the caller. It is not safe for concurrent use.
type prober struct {
	active   api.CarrierName
	udp      track
	relay    track
	round    uint64
	udpPeers []netip.AddrPort // candidates, best first
	current  int              // the candidate that answers, -1 if none
	path     pathMTU          // of the current candidate
	near     bool             // the relay is; see nearRelayMTU
}

// track is what is known of one carrier.
type track struct {
	configured bool
	health     api.CarrierHealth
	since      time.Time // configured since
	lastAnswer time.Time
	rtt        time.Duration // smoothed
	latest     time.Duration // round-trip time of the last answer
	variance   time.Duration
	late       int            // answers in a row that were overdue
	pending    []pendingProbe // sent and not answered, the oldest first
	next       time.Time
	hurry      int // how many of burst are left
}

type pendingProbe struct {
	round   uint64
	sent    time.Time
	overdue bool
}

// configure starts a carrier anew.
func (t *track) configure(now time.Time) {
	*t = track{configured: true, since: now, next: now, hurry: len(burst)}
}

// hasten makes probes go out at once, and a few more in quick succession.
func (t *track) hasten(now time.Time) {
	if t.configured {
		t.next, t.hurry = now, len(burst)
	}
}

// overdueAfter returns when a probe counts as unanswered.
func (t *track) overdueAfter() time.Duration {
	if t.rtt == 0 {
		return overdueMin
	}
	return min(max(t.rtt*2+t.variance*4, overdueMin), overdueMax)
}

// expire counts the probes that are overdue by now.
func (t *track) expire(now time.Time) {
	for i := range t.pending {
		p := &t.pending[i]
		if !p.overdue && now.Sub(p.sent) >= t.overdueAfter() {
			p.overdue = true
			t.health.Unanswered++
		}
	}
}

// sent remembers a probe and plans the next.
func (t *track) sent(now time.Time, round uint64, every time.Duration) {
	t.health.Sent++
	if len(t.pending) == maxPending {
		t.pending = slices.Delete(t.pending, 0, 1)
	}
	t.pending = append(t.pending, pendingProbe{round: round, sent: now})
	if t.hurry > 0 {
		every = burst[len(burst)-t.hurry]
		t.hurry--
	}
	t.next = now.Add(every)
}

// answered takes in an answer, late or not. It reports whether the probe was known.
func (t *track) answered(now time.Time, round uint64) bool {
	i := slices.IndexFunc(t.pending, func(p pendingProbe) bool { return p.round == round })
	if i < 0 {
		return false
	}
	t.latest = now.Sub(t.pending[i].sent)
	t.measure(t.latest, t.pending[i].overdue)
	t.health.Answered++
	t.lastAnswer = now
	t.pending = slices.Delete(t.pending, 0, i+1)
	t.health.Unanswered = 0
	for _, p := range t.pending {
		if p.overdue {
			t.health.Unanswered++
		}
	}
	return true
}

// measure takes in a round-trip time, unless it is that of a single late answer.
func (t *track) measure(rtt time.Duration, overdue bool) {
	if !overdue {
		t.late = 0
	} else if t.late++; t.rtt > 0 && t.late < lateSamples {
		return
	}
	t.smooth(rtt)
}

// smooth takes in a round-trip time as TCP does (RFC 6298, section 2).
func (t *track) smooth(rtt time.Duration) {
	if t.rtt == 0 {
		t.rtt, t.variance = rtt, rtt/2
		return
	}
	t.variance += ((t.rtt - rtt).Abs() - t.variance) / 4
	t.rtt += (rtt - t.rtt) / 8
}

// alive reports whether the carrier answers, as far as is known.
func (t *track) alive() bool {
	return t.configured && !t.lastAnswer.IsZero() && t.health.Unanswered == 0
}

// works reports whether the carrier answers, one lost probe aside.
func (t *track) works() bool {
	return t.configured && !t.lastAnswer.IsZero() && t.health.Unanswered < 2
}

func (t *track) report(now time.Time) api.CarrierHealth {
	h := t.health
	h.Configured = t.configured
	h.LastAnswerAgo = -1
	if !t.lastAnswer.IsZero() {
		h.LastAnswerAgo = now.Sub(t.lastAnswer).Milliseconds()
	}
	h.RTT = float64(t.rtt.Microseconds()) / 1000
	return h
}

// setUDP replaces the UDP endpoints. What is known of an endpoint that stays is kept.
func (p *prober) setUDP(now time.Time, endpoints []netip.AddrPort) {
	if slices.Equal(endpoints, p.udpPeers) {
		return
	}
	kept := -1
	if p.current >= 0 && p.current < len(p.udpPeers) {
		kept = slices.Index(endpoints, p.udpPeers[p.current])
	}
	p.udpPeers = slices.Clone(endpoints)
	switch {
	case len(endpoints) == 0:
		p.udp, p.current = track{}, -1
	case kept < 0:
		p.udp.configure(now)
		p.current = -1
	default:
		p.udp.pending = nil // their numbers name endpoints by position
		p.current = kept
		p.udp.hasten(now)
	}
}

// setRelay says that a relay stream is there, new, or gone.
func (p *prober) setRelay(now time.Time, present bool) {
	p.near = false
	if present {
		p.relay.configure(now)
	} else {
		p.relay = track{}
	}
}

// networkChanged makes everything be tried again at once.
func (p *prober) networkChanged(now time.Time) {
	p.udp.hasten(now)
	p.relay.hasten(now)
}

// tick returns the probes to send now.
func (p *prober) tick(now time.Time) []probe {
	p.udp.expire(now)
	p.relay.expire(now)
	var probes []probe
	if p.udp.configured && !now.Before(p.udp.next) {
		p.round++
		for i, endpoint := range p.udpPeers {
			if p.current < 0 || i == p.current || p.udp.health.Unanswered > 0 {
				probes = append(probes, p.udpProbe(i, endpoint, 0))
			}
		}
		p.udp.sent(now, p.round, p.udpInterval(now))
	}
	if p.udp.alive() && p.current >= 0 {
		endpoint := p.udpPeers[p.current]
		for _, size := range p.path.due(now) {
			p.round++
			probes = append(probes, p.udpProbe(p.current, endpoint, size-ipHeader(endpoint.Addr())-udpHeader))
		}
	}
	if p.relay.configured && !now.Before(p.relay.next) {
		p.round++
		probes = append(probes, probe{
			carrier: api.CarrierRelay, sequence: p.round << candidateBits, tunnelMTU: p.relayMTU(),
		})
		every := probeEvery
		if p.active == api.CarrierUDP {
			every = probeStandbyEvery
		}
		p.relay.sent(now, p.round, every)
	}
	return probes
}

func (p *prober) udpProbe(candidate int, endpoint netip.AddrPort, size int) probe {
	return probe{
		carrier: api.CarrierUDP, endpoint: endpoint, size: size, unbroken: size > 0,
		sequence: p.round<<candidateBits | uint64(candidate), tunnelMTU: p.udpMTU(),
	}
}

func (p *prober) udpInterval(now time.Time) time.Duration {
	last := p.udp.lastAnswer
	if last.IsZero() {
		last = p.udp.since
	}
	if p.active != api.CarrierUDP && now.Sub(last) > probeDeadAfter {
		return probeDeadEvery
	}
	return probeEvery
}

// answered takes in the answer to a probe on a carrier.
func (p *prober) answered(now time.Time, name api.CarrierName, answer carrier.Probe) {
	round := answer.Sequence >> candidateBits
	if name == api.CarrierRelay {
		if p.relay.answered(now, round) {
			p.judgeRelay()
		}
		return
	}
	candidate := int(answer.Sequence & (1<<candidateBits - 1))
	if candidate >= len(p.udpPeers) {
		return
	}
	if answer.Size > carrier.ProbeSize {
		if candidate == p.current {
			p.path.answered(now, answer.Size+ipHeader(p.udpPeers[candidate].Addr())+udpHeader)
		}
		return
	}
	dead := p.udp.health.Unanswered > 0
	if !p.udp.answered(now, round) {
		return
	}
	if p.current < 0 || dead && candidate != p.current {
		p.current = candidate
		p.path.reset(now, p.udpPeers[candidate].Addr())
	}
}

// inUse reports whether an answer came by the way that data takes.
func (p *prober) inUse(name api.CarrierName, answer carrier.Probe) bool {
	return name == p.active && (name != api.CarrierUDP || int(answer.Sequence&(1<<candidateBits-1)) == p.current)
}

// refused says that the system refused to send a datagram of size bytes over UDP, because it is too large for the path.
func (p *prober) refused(now time.Time, size int) {
	if p.current >= 0 {
		p.path.refused(now, size+ipHeader(p.udpPeers[p.current].Addr())+udpHeader)
	}
}

// endpoint returns the UDP endpoint that answers, or else the first one to try.
func (p *prober) endpoint() netip.AddrPort {
	switch {
	case p.current >= 0:
		return p.udpPeers[p.current]
	case len(p.udpPeers) > 0:
		return p.udpPeers[0]
	}
	return netip.AddrPort{}
}

// udpMTU returns the MTU inside the tunnel over UDP.
func (p *prober) udpMTU() int {
	if p.current < 0 {
		return minMTU
	}
	return udpMTU(p.path.proven, p.udpPeers[p.current].Addr())
}

// mtu returns the MTU inside the tunnel over the active carrier.
func (p *prober) mtu() int {
	if p.active == api.CarrierRelay {
		return p.relayMTU()
	}
	return p.udpMTU()
}

// judgeRelay decides after an answer whether the relay is near.
func (p *prober) judgeRelay() {
	switch {
	case p.relay.latest <= nearRTT:
		p.near = true
	case p.relay.rtt >= farRTT:
		p.near = false
	}
}

// relayMTU returns the MTU inside the tunnel over the relay.
func (p *prober) relayMTU() int {
	if p.near {
		return nearRelayMTU
	}
	return relayMTU
}

// report returns the health of both carriers.
func (p *prober) report(now time.Time) (udp, relay api.CarrierHealth) {
	udp, relay = p.udp.report(now), p.relay.report(now)
	if endpoint := p.endpoint(); endpoint.IsValid() {
		udp.Endpoint = endpoint.String()
	}
	if p.current >= 0 {
		udp.PathMTU = p.path.proven
	}
	return udp, relay
}

// wake returns when tick or the counting of overdue probes has something to do next.
func (p *prober) wake(now time.Time) time.Time {
	next := now.Add(time.Minute)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for _, t := range []*track{&p.udp, &p.relay} {
		if !t.configured {
			continue
		}
		earlier(t.next)
		for _, sent := range t.pending {
			if !sent.overdue {
				earlier(sent.sent.Add(t.overdueAfter()))
			}
		}
	}
	if p.udp.alive() && p.current >= 0 {
		earlier(p.path.wake())
	}
	return next
}
