// SPDX-License-Identifier: Apache-2.0

package wireguard

import "time"

const (
	// handshakeRetry is the least time until a handshake that was forced and not answered is tried again, while probes
	// say that the carrier works. WireGuard itself would wait five seconds.
	handshakeRetry = 300 * time.Millisecond
	// handshakeSpacing is the least time between any two: WireGuard drops what comes within a fiftieth of a second of the
	// one before (device.HandshakeInitationRate).
	handshakeSpacing = 25 * time.Millisecond
	// handshakeDoubt is for how long data may go out without anything coming back, on a carrier that answers probes,
	// before the gateway may have forgotten the session, as it has after a restart; at least. Just below the second
	// after which systems send a SYN again.
	handshakeDoubt = 800 * time.Millisecond
	// handshakeDoubtAgain is the least time between two handshakes for that reason: some flows go one way only.
	handshakeDoubtAgain = 10 * time.Second
)

// recallSpacing is the least time between two keepalives because the gateway sends elsewhere. It says what was true a moment
// ago.
const recallSpacing = 200 * time.Millisecond

// forgottenPause is how long after a handshake the gateway may still say that there was none.
const forgottenPause = time.Second

// sleepAtLeast is by how much the clock on the wall must have run ahead for a sleep of the machine.
const sleepAtLeast = 5 * time.Second

// slept reports whether the machine slept, from how far its clock on the wall went and how long it ran meanwhile: the
// clock that timers run by stands still in a sleep, and so do WireGuard's ideas of how old its keys are.
func slept(wall, ran time.Duration) bool { return wall-ran > sleepAtLeast }

// handshaker decides when WireGuard is pushed: to handshake at once after a silence or a new beginning, and to send
// a keepalive after a change of carrier, which is what makes the gateway answer the new way. It is pure: time comes from
// outside. The zero value wants nothing.
type handshaker struct {
	wanted    bool // a handshake
	asked     time.Time
	forced    time.Time // when the wanted one was last forced; zero if not yet
	last      time.Time // when any was last forced
	doubted   time.Time
	keepalive bool
	recalled  time.Time // when a keepalive was last sent because the gateway sent elsewhere
	usable    bool      // the carrier in use exists
	works     bool      // it answers probes
	rtt       time.Duration
	completed bool // a handshake was answered, some time
}

// want asks for a handshake, at once.
func (h *handshaker) want(now time.Time) { h.wanted, h.asked, h.forced = true, now, time.Time{} }

// moved says that the carrier in use is another.
func (h *handshaker) moved(now time.Time) {
	h.keepalive = true
	if !h.completed {
		h.want(now)
	}
	h.works = true // a silence of the carrier before is none of this one
}

// forgotten says that the gateway has no session: it was started anew.
func (h *handshaker) forgotten(now time.Time, response int64) {
	if h.wanted || now.Sub(time.Unix(0, response)) < forgottenPause || now.Sub(h.last) < forgottenPause {
		return // what is said now was true before
	}
	h.want(now)
}

// strayed says that the gateway, on the carrier in use, sends to another: what should have moved it was lost, or something
// older came after it.
func (h *handshaker) strayed(now time.Time) {
	if h.wanted || now.Sub(h.recalled) < recallSpacing {
		return // a handshake moves it, too
	}
	h.keepalive, h.recalled = true, now
}

// observe takes in whether the carrier in use exists, answers probes and how fast, since when data went out without an answer
// (0 if that is not so), and when a handshake was last answered; both in Unix nanoseconds.
func (h *handshaker) observe(now time.Time, usable, works bool, rtt time.Duration, unanswered, response int64) {
	if h.wanted && response > h.asked.UnixNano() {
		h.wanted, h.completed = false, true
	}
	h.usable, h.rtt = usable, rtt
	if works && !h.works && now.Sub(h.forced) > h.retryAfter() {
		h.want(now)
	}
	h.works = works
	if works && !h.wanted && unanswered != 0 && now.Sub(time.Unix(0, unanswered)) > max(handshakeDoubt, 3*rtt) &&
		now.Sub(h.doubted) > handshakeDoubtAgain {
		h.doubted = now
		h.want(now)
	}
}

// retryAfter returns how long the answer to a handshake may take.
func (h *handshaker) retryAfter() time.Duration { return max(3*h.rtt, handshakeRetry) }

// due returns what to push now.
func (h *handshaker) due(now time.Time) (keepalive, handshake bool) {
	if h.usable {
		keepalive, h.keepalive = h.keepalive, false
	}
	if h.wanted && !now.Before(h.wake(now)) {
		h.forced, h.last = now, now
		return keepalive, true
	}
	return keepalive, false
}

// wake returns when due has something to say next.
func (h *handshaker) wake(now time.Time) time.Time {
	switch {
	case !h.usable:
	case h.wanted && h.forced.IsZero():
		return h.last.Add(handshakeSpacing)
	case h.wanted && h.works:
		return h.forced.Add(h.retryAfter())
	}
	return now.Add(time.Minute)
}
