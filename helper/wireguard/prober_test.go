// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/helper/api"
)

var (
	first  = netip.MustParseAddrPort("192.0.2.1:51820")
	second = netip.MustParseAddrPort("192.0.2.2:51820")
)

// world is a network between a prober and a gateway.
type world struct {
	prober   prober
	now      time.Time
	rtt      time.Duration
	answers  map[netip.AddrPort]bool // which UDP endpoints answer
	relay    bool                    // whether the relay answers
	inFlight []answer
	sent     int
}

type answer struct {
	at time.Time
	probe
}

func newWorld(rtt time.Duration, answers ...netip.AddrPort) *world {
	w := &world{now: time.Unix(1000, 0), rtt: rtt, answers: map[netip.AddrPort]bool{}}
	w.prober.current = -1
	for _, a := range answers {
		w.answers[a] = true
	}
	return w
}

// run lets time pass. It follows wake, so that a prober that sleeps too long is found out.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for {
		next := w.prober.wake(w.now)
		for _, a := range w.inFlight {
			if a.at.Before(next) {
				next = a.at
			}
		}
		if next.After(end) {
			w.now = end
			w.prober.tick(w.now)
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		w.deliver()
		for _, p := range w.prober.tick(w.now) {
			w.sent++
			if p.carrier == api.CarrierUDP && w.answers[p.endpoint] || p.carrier == api.CarrierRelay && w.relay {
				w.inFlight = append(w.inFlight, answer{w.now.Add(w.rtt), p})
			}
		}
	}
}

func (w *world) deliver() {
	var left []answer
	for _, a := range w.inFlight {
		if a.at.After(w.now) {
			left = append(left, a)
			continue
		}
		w.prober.answered(w.now, a.carrier, carrier.Probe{
			Kind: carrier.ProbeReply, Size: max(a.size, carrier.ProbeSize), Sequence: a.sequence,
		})
	}
	w.inFlight = left
}

func (w *world) health() (udp, relay api.CarrierHealth) { return w.prober.report(w.now) }

func TestProberLife(t *testing.T) {
	w := newWorld(20*time.Millisecond, first)
	w.prober.active = api.CarrierUDP
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	w.run(25 * time.Millisecond)
	udp, relay := w.health()
	if udp.Answered != 1 || udp.Unanswered != 0 || udp.RTT != 20 || !udp.Configured || udp.Endpoint != first.String() {
		t.Errorf("after one round trip: %+v", udp)
	}
	if relay.Configured || relay.LastAnswerAgo != -1 {
		t.Errorf("relay without a stream: %+v", relay)
	}
	w.run(10 * time.Second)
	if udp, _ = w.health(); udp.Unanswered != 0 || udp.PathMTU != 1484 || udp.LastAnswerAgo > 600 {
		t.Errorf("after 10 s: %+v", udp)
	}
	if w.sent > 50 {
		t.Errorf("%d probes in 10 s", w.sent)
	}
	w.answers[first] = false
	w.run(2 * time.Second)
	if udp, _ = w.health(); udp.Unanswered < 3 {
		t.Errorf("2 s after the path broke: %d probes unanswered", udp.Unanswered)
	}
	w.run(3 * time.Second)
	w.answers[first] = true
	w.run(600 * time.Millisecond)
	if udp, _ = w.health(); udp.Unanswered != 0 {
		t.Errorf("0.6 s after the path healed: %d probes unanswered", udp.Unanswered)
	}
}

// TestProberSlowPath does not take a long round trip for silence.
func TestProberSlowPath(t *testing.T) {
	w := newWorld(380*time.Millisecond, first)
	w.prober.active = api.CarrierUDP
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	w.run(time.Second)
	for range 100 {
		w.run(100 * time.Millisecond)
		if udp, _ := w.health(); udp.Unanswered != 0 {
			t.Fatalf("%+v", udp)
		}
	}
}

// TestProberLateAnswer does not take the wait for a link for the length of a path, but sees that a path became slow.
func TestProberLateAnswer(t *testing.T) {
	w := newWorld(10*time.Millisecond, first)
	w.prober.active = api.CarrierUDP
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	w.run(2 * time.Second)
	w.rtt = 900 * time.Millisecond
	w.run(500 * time.Millisecond) // one probe
	w.rtt = 10 * time.Millisecond
	w.run(5 * time.Second)
	if udp, _ := w.health(); udp.RTT > 11 {
		t.Errorf("one late answer: RTT %v", udp.RTT)
	}
	w.rtt = 900 * time.Millisecond
	w.run(30 * time.Second)
	if udp, _ := w.health(); udp.RTT < 800 || udp.Unanswered > 0 {
		t.Errorf("a slow path: RTT %v, %d unanswered", udp.RTT, udp.Unanswered)
	}
}

func TestProberFindsEndpoint(t *testing.T) {
	w := newWorld(5*time.Millisecond, second)
	w.prober.active = api.CarrierUDP
	w.prober.setUDP(w.now, []netip.AddrPort{first, second})
	if w.prober.endpoint() != first {
		t.Error("before an answer the first is tried")
	}
	w.run(time.Second)
	if udp, _ := w.health(); udp.Endpoint != second.String() || udp.Unanswered != 0 {
		t.Fatalf("%+v", udp)
	}
	w.answers[first] = true
	w.run(5 * time.Second)
	if w.prober.endpoint() != second {
		t.Error("an endpoint that answers is kept")
	}
	w.answers[second] = false
	w.run(2 * time.Second)
	if udp, _ := w.health(); udp.Endpoint != first.String() || udp.PathMTU != 1484 {
		t.Errorf("after the second endpoint fell silent: %+v", udp)
	}
}

func TestProberKeepsEndpointThatStays(t *testing.T) {
	w := newWorld(5*time.Millisecond, first, second)
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	w.run(time.Second)
	w.prober.setUDP(w.now, []netip.AddrPort{second, first})
	if udp, _ := w.health(); udp.Endpoint != first.String() || udp.PathMTU != 1484 || udp.Unanswered != 0 {
		t.Errorf("%+v", udp)
	}
	w.run(time.Second)
	if w.prober.endpoint() != first {
		t.Error("an endpoint that answers is kept")
	}
	w.prober.setUDP(w.now, nil)
	if udp, _ := w.health(); udp.Configured || w.prober.endpoint().IsValid() || w.prober.udpMTU() != minMTU {
		t.Errorf("without endpoints: %+v", udp)
	}
}

func TestProberIntervals(t *testing.T) {
	count := func(w *world, d time.Duration) int {
		w.sent = 0
		w.run(d)
		return w.sent
	}
	w := newWorld(time.Millisecond)
	w.relay = true
	w.prober.active = api.CarrierRelay
	w.prober.setRelay(w.now, true)
	w.run(time.Second)
	if n := count(w, 10*time.Second); n < 19 || n > 21 {
		t.Errorf("relay in use: %d probes in 10 s, want 20", n)
	}
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	w.run(time.Second)
	if n := count(w, 10*time.Second); n < 39 || n > 41 {
		t.Errorf("relay in use, UDP silent: %d probes in 10 s, want 40", n)
	}
	w.run(time.Minute)
	if n := count(w, 10*time.Second); n < 29 || n > 31 {
		t.Errorf("relay in use, UDP silent for long: %d probes in 10 s, want 30", n)
	}
	w.answers[first] = true
	w.run(time.Second)
	w.prober.active = api.CarrierUDP
	if n := count(w, 10*time.Second); n > 38 { // 20 small and 10 large over UDP, 5 over the relay
		t.Errorf("UDP in use: %d probes in 10 s", n)
	}
}

func TestProberIgnoresStrangeAnswers(t *testing.T) {
	w := newWorld(time.Millisecond, first)
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	w.run(time.Second)
	udp, _ := w.health()
	for _, sequence := range []uint64{0, 1 << 60, 15, 1<<candidateBits | 9} {
		w.prober.answered(w.now, api.CarrierUDP, carrier.Probe{Kind: carrier.ProbeReply, Size: carrier.ProbeSize, Sequence: sequence})
		w.prober.answered(w.now, api.CarrierRelay, carrier.Probe{Kind: carrier.ProbeReply, Size: carrier.ProbeSize, Sequence: sequence})
	}
	if after, _ := w.health(); after.Answered != udp.Answered {
		t.Errorf("answers nobody asked for were counted: %+v", after)
	}
}

func TestProberMTU(t *testing.T) {
	w := newWorld(time.Millisecond, first)
	w.relay = true
	if w.prober.mtu() != minMTU {
		t.Errorf("without a carrier: %d", w.prober.mtu())
	}
	w.prober.active = api.CarrierUDP
	w.prober.setUDP(w.now, []netip.AddrPort{first})
	if w.prober.mtu() != minMTU {
		t.Errorf("before anything is proven: %d", w.prober.mtu())
	}
	w.run(time.Second)
	if w.prober.mtu() != 1424 {
		t.Errorf("over Ethernet: %d", w.prober.mtu())
	}
	w.prober.active = api.CarrierRelay
	if w.prober.mtu() != relayMTU {
		t.Errorf("over the relay: %d", w.prober.mtu())
	}
}

// Large packets are for a relay that is near, until what waits in front of the probes says otherwise.
func TestProberRelayMTU(t *testing.T) {
	w := newWorld(20 * time.Millisecond)
	w.relay = true
	w.prober.active = api.CarrierRelay
	w.prober.setRelay(w.now, true)
	for _, step := range []struct {
		what string
		rtt  time.Duration
		want int
	}{
		{"far", 20 * time.Millisecond, relayMTU},
		{"near", nearRTT, nearRelayMTU},
		{"near, a little held up", 20 * time.Millisecond, nearRelayMTU},
		{"held up", 4 * farRTT, relayMTU},
		{"near again", time.Millisecond, nearRelayMTU},
	} {
		w.rtt = step.rtt
		w.run(10 * time.Second)
		if got := w.prober.mtu(); got != step.want {
			t.Errorf("%s: %d, want %d", step.what, got, step.want)
		}
	}
	w.prober.setRelay(w.now, true)
	if got := w.prober.mtu(); got != relayMTU {
		t.Errorf("another stream: %d", got)
	}
}
