// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"testing"
	"time"
)

// partner is WireGuard with a gateway that answers handshakes, or not.
type partner struct {
	h          handshaker
	now        time.Time
	missing    bool // there is no carrier
	works      bool
	answers    bool
	unanswered time.Time // since when data went out without an answer
	response   time.Time
	handshakes int
	keepalives int
}

func newPartner() *partner { return &partner{now: time.Unix(1000, 0), works: true, answers: true} }

func (p *partner) run(d time.Duration) {
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(10 * time.Millisecond) {
		var unanswered, response int64
		if !p.unanswered.IsZero() {
			unanswered = p.unanswered.UnixNano()
		}
		if !p.response.IsZero() {
			response = p.response.UnixNano()
		}
		p.h.observe(p.now, !p.missing, p.works, 5*time.Millisecond, unanswered, response)
		keepalive, handshake := p.h.due(p.now)
		if keepalive {
			p.keepalives++
		}
		if handshake {
			p.handshakes++
			if p.works && p.answers {
				p.response = p.now.Add(5 * time.Millisecond)
			}
		}
	}
}

func (p *partner) expect(t *testing.T, what string, handshakes, keepalives int) {
	t.Helper()
	if p.handshakes != handshakes || p.keepalives != keepalives {
		t.Errorf("%s: %d handshakes and %d keepalives, want %d and %d", what, p.handshakes, p.keepalives, handshakes, keepalives)
	}
	p.handshakes, p.keepalives = 0, 0
}

func TestHandshaker(t *testing.T) {
	p := newPartner()
	p.h.moved(p.now)
	p.run(5 * time.Second)
	p.expect(t, "the first carrier", 1, 1)

	p.h.moved(p.now)
	p.run(5 * time.Second)
	p.expect(t, "another carrier", 0, 1)

	p.works = false
	p.run(5 * time.Second)
	p.expect(t, "silence", 0, 0)
	p.works = true
	p.run(5 * time.Second)
	p.expect(t, "after a silence", 1, 0)

	p.unanswered = p.now
	p.run(9 * time.Second)
	p.expect(t, "data without an answer", 1, 0)
	p.run(10 * time.Second)
	p.expect(t, "data without an answer for long", 1, 0)
	p.unanswered = time.Time{}

	p.h.want(p.now)
	p.run(5 * time.Second)
	p.expect(t, "another gateway", 1, 0)
}

func TestHandshakerTriesAgain(t *testing.T) {
	p := newPartner()
	p.answers = false
	p.h.moved(p.now)
	p.run(950 * time.Millisecond)
	p.expect(t, "no answer within a second", 4, 1)
	p.works = false
	p.run(5 * time.Second)
	p.expect(t, "on a silent carrier", 0, 0)
}

// TestHandshakerNotTwice does not throw away a handshake whose answer is on its way, when the first probe is answered.
func TestHandshakerNotTwice(t *testing.T) {
	p := newPartner()
	p.works = false
	p.h.moved(p.now)
	p.run(20 * time.Millisecond) // the handshake is out; so is the first probe
	p.works = true
	p.response = p.now.Add(30 * time.Millisecond)
	p.run(time.Second)
	p.expect(t, "first probe answered before the handshake", 1, 1)
}

// TestHandshakerWaitsForCarrier keeps what is wanted until there is a stream to send it by.
func TestHandshakerWaitsForCarrier(t *testing.T) {
	p := newPartner()
	p.missing, p.works = true, false
	p.h.moved(p.now)
	p.run(time.Second)
	p.expect(t, "without a carrier", 0, 0)
	p.missing, p.works = false, true
	p.run(20 * time.Millisecond)
	p.expect(t, "with a carrier", 1, 1)
}

// TestHandshakerSpaced asks for handshakes faster than a gateway takes them.
func TestHandshakerSpaced(t *testing.T) {
	p := newPartner()
	p.answers = false
	p.h.want(p.now)
	p.run(10 * time.Millisecond)
	p.h.want(p.now)
	p.run(10 * time.Millisecond)
	p.expect(t, "20 ms", 1, 0)
	p.run(20 * time.Millisecond)
	p.expect(t, "20 ms more", 1, 0)
}

func TestHandshakerWakes(t *testing.T) {
	p := newPartner()
	if got := p.h.wake(p.now); got.Before(p.now.Add(time.Second)) {
		t.Error("wants to be woken for nothing")
	}
	p.h.observe(p.now, true, true, 0, 0, 0)
	p.h.want(p.now)
	if got := p.h.wake(p.now); got.After(p.now) {
		t.Error("a wanted handshake waits")
	}
}

func TestSlept(t *testing.T) {
	for _, test := range []struct {
		wall, ran time.Duration
		want      bool
	}{
		{time.Second, time.Second, false}, {time.Minute, time.Minute, false}, {time.Hour, time.Second, true},
		{2 * time.Second, time.Second, false}, {-time.Hour, time.Second, false},
	} {
		if got := slept(test.wall, test.ran); got != test.want {
			t.Errorf("slept(%s, %s) = %v", test.wall, test.ran, got)
		}
	}
}

// A gateway that sends by another carrier is called back as often as it says so, but not for each answer that was under way.
func TestGatewayThatStrayed(t *testing.T) {
	p := newPartner()
	p.h.moved(p.now)
	p.run(time.Second)
	p.expect(t, "in the beginning", 1, 1)
	p.h.strayed(p.now)
	p.h.strayed(p.now)
	p.run(50 * time.Millisecond)
	p.h.strayed(p.now)
	p.run(500 * time.Millisecond)
	p.expect(t, "after it strayed", 0, 1)
	p.h.strayed(p.now)
	p.run(500 * time.Millisecond)
	p.expect(t, "after it strayed again", 0, 1)
	p.answers = false
	p.h.want(p.now)
	p.h.strayed(p.now)
	p.run(100 * time.Millisecond)
	p.expect(t, "while a handshake is under way", 1, 0)
}

// A gateway that was started anew says that it knows of no session: one handshake follows, and not another for what it
// said before it heard of that.
func TestGatewayThatForgot(t *testing.T) {
	p := newPartner()
	p.h.want(p.now)
	p.run(2 * time.Second)
	p.expect(t, "in the beginning", 1, 0)
	p.h.forgotten(p.now, p.response.UnixNano())
	p.run(500 * time.Millisecond)
	p.h.forgotten(p.now, p.response.UnixNano()) // an answer that was under way
	p.run(2 * time.Second)
	p.expect(t, "after it forgot", 1, 0)
	p.answers = false
	p.h.forgotten(p.now, p.response.UnixNano())
	p.h.forgotten(p.now, p.response.UnixNano())
	p.run(100 * time.Millisecond)
	p.expect(t, "told twice", 1, 0)
}
