// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

const ms = time.Millisecond

// keptAlive is a connection on which the app has answered a request.
func keptAlive(sent, received, ack time.Duration) Connection {
	return Connection{
		LastSent: sent, LastReceived: received, LastAck: ack, Received: 100, Sent: 200, SegmentsIn: 1, SegmentsOut: 1,
		Local: netip.MustParseAddrPort("10.244.0.2:8080"), Remote: netip.MustParseAddrPort("10.244.0.9:40000"), name: []byte{1},
	}
}

func with(c Connection, change func(*Connection)) Connection {
	change(&c)
	return c
}

func TestIdle(t *testing.T) {
	for _, test := range []struct {
		name   string
		c      Connection
		enough time.Duration
		want   bool
	}{
		{"answered long ago", keptAlive(600*ms, 604*ms, 560*ms), longPause, true},
		{"answered lately", keptAlive(300*ms, 304*ms, 260*ms), longPause, false},
		{"answered lately, in a shorter pause", keptAlive(300*ms, 304*ms, 260*ms), pause, true},
		{"asked and not answered", keptAlive(700*ms, 600*ms, 600*ms), pause, false},
		{"asked an hour ago", keptAlive(2*time.Hour, time.Hour, time.Hour), pause, false},
		{"no tick between, acknowledged later", keptAlive(600*ms, 600*ms, 560*ms), longPause, true},
		{"no tick between, all at once", keptAlive(600*ms, 600*ms, 600*ms), longPause, false},
		{"no tick between, for a while", keptAlive(1200*ms, 1200*ms, 1200*ms), longPause, true},
		{"no tick between, and one request more than answers", with(keptAlive(time.Hour, time.Hour, time.Hour), func(c *Connection) {
			c.SegmentsIn = 2
		}), longPause, false},
		{"the app has not read", with(keptAlive(time.Hour, time.Hour, time.Hour), func(c *Connection) { c.Unread = 1 }), pause, false},
		{"not all is sent", with(keptAlive(time.Hour, time.Hour, time.Hour), func(c *Connection) { c.Unsent = 1 }), pause, false},
		{"short pause, not acknowledged yet", with(keptAlive(8*ms, 12*ms, 12*ms), func(c *Connection) { c.Unacknowledged = 200 }), shortPause, true},
		{"short pause, no tick between, not acknowledged yet", with(keptAlive(8*ms, 8*ms, 8*ms), func(c *Connection) {
			c.Unacknowledged = 200
		}), shortPause, true},
		{"short pause, no tick between, acknowledged by the next request", keptAlive(8*ms, 8*ms, 8*ms), shortPause, false},
		{"the end of something long is under way", with(keptAlive(8*ms, 40*ms, 8*ms), func(c *Connection) {
			c.Unacknowledged = 1 << 20
		}), shortPause, false},
		{"the caller does not acknowledge", with(keptAlive(2*time.Second, 3*time.Second, 3*time.Second), func(c *Connection) {
			c.Unacknowledged = 200
		}), shortPause, false},
		{"nothing was ever said", Connection{LastSent: 120 * ms, LastReceived: 120 * ms, LastAck: 120 * ms}, pause, true},
		{"just opened", Connection{LastSent: 20 * ms, LastReceived: 20 * ms, LastAck: 20 * ms}, shortPause, false},
		{"the app greeted", Connection{LastSent: 200 * ms, LastReceived: 220 * ms, LastAck: 200 * ms, Sent: 50}, pause, true},
		{"the kernel says nothing", Connection{}, shortPause, false},
	} {
		if got := idle(test.c, test.enough); got != test.want {
			t.Errorf("%s: idle is %v, want %v", test.name, got, test.want)
		}
	}
}

// fakeKernel has connections, and what they look like at the second look.
type fakeKernel struct {
	have      []Connection
	changed   map[byte]Connection
	destroyed []byte
	refuses   error
}

func (k *fakeKernel) connections(uint16) ([]Connection, error) { return k.have, k.refuses }

func (k *fakeKernel) again(c Connection) (Connection, error) {
	if changed, ok := k.changed[c.name[0]]; ok {
		if changed.name == nil {
			return changed, errGone
		}
		return changed, nil
	}
	return c, nil
}

func (k *fakeKernel) destroy(c Connection) error {
	k.destroyed = append(k.destroyed, c.name[0])
	return k.refuses
}

func named(name byte, c Connection) Connection {
	c.name = []byte{name}
	return c
}

func TestSweep(t *testing.T) {
	start := time.Unix(1000, 0)
	idle, busy := keptAlive(time.Second, 2*time.Second, time.Second), keptAlive(2*time.Second, time.Second, time.Second)
	ours := with(idle, func(c *Connection) { c.ours = true })
	within := with(idle, func(c *Connection) { c.Remote = netip.MustParseAddrPort("10.244.0.2:50000") })
	kubelet := with(busy, func(c *Connection) { c.Remote = netip.MustParseAddrPort("192.0.2.1:50000") })
	for _, test := range []struct {
		name      string
		mode      Mode
		kernel    fakeKernel
		later     time.Duration
		destroyed string
		bypassing int
		next      time.Duration
	}{
		{"gentle", Gentle, fakeKernel{have: []Connection{named('i', idle), named('b', busy)}}, 0, "i", 1, sweepInterval},
		{"force spares nodes", Force, fakeKernel{have: []Connection{named('i', idle), named('b', busy), named('k', kubelet)}}, 0, "ib", 1, sweepInterval},
		{"none", None, fakeKernel{have: []Connection{named('i', idle)}}, 0, "", 1, sweepSlowly},
		{"ours and the pod's own", Force, fakeKernel{have: []Connection{named('o', ours), named('w', within)}}, 0, "", 0, sweepInterval},
		{"a request came just now", Gentle, fakeKernel{
			have: []Connection{named('i', idle)}, changed: map[byte]Connection{'i': named('i', busy)},
		}, 0, "", 1, sweepInterval},
		{"it closed just now", Gentle, fakeKernel{have: []Connection{named('i', idle)}, changed: map[byte]Connection{'i': {}}}, 0, "", 0, sweepInterval},
		{"nothing is left", Gentle, fakeKernel{}, 4 * time.Second, "", 0, 0},
		{"after a while slowly", Gentle, fakeKernel{have: []Connection{named('b', busy)}}, time.Minute, "", 1, sweepSlowly},
	} {
		takeover := NewTakeover(8080, test.mode, []netip.Addr{kubelet.Remote.Addr()}, start)
		bypassing, next, err := takeover.sweep(&test.kernel, start.Add(test.later))
		if bypassing != test.bypassing || next != test.next || err != nil || string(test.kernel.destroyed) != test.destroyed {
			t.Errorf("%s: closed %q, %d bypass, next after %s, error %v; want %q, %d, %s", test.name,
				test.kernel.destroyed, bypassing, next, err, test.destroyed, test.bypassing, test.next)
		}
	}
}

func TestSweepOfAKernelThatOnlyCounts(t *testing.T) {
	kernel := &fakeKernel{have: []Connection{named('i', keptAlive(time.Second, 2*time.Second, time.Second))}}
	takeover := NewTakeover(8080, Gentle, nil, time.Unix(1000, 0))
	destroy := kernelThatCannot{kernel}
	bypassing, next, err := takeover.sweep(destroy, time.Unix(1000, 0))
	if bypassing != 1 || next != sweepSlowly || !errors.Is(err, ErrCannotDestroy) {
		t.Errorf("%d bypass, next after %s, error %v", bypassing, next, err)
	}
}

type kernelThatCannot struct{ *fakeKernel }

func (kernelThatCannot) destroy(Connection) error { return ErrCannotDestroy }

// TestStreams: what the app writes by itself is a stream; a late answer is none.
func TestStreams(t *testing.T) {
	start := time.Unix(1000, 0)
	sweep := func(takeover *Takeover, after time.Duration, c Connection) int {
		bypassing, _, err := takeover.sweep(&fakeKernel{have: []Connection{named('s', c)}}, start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return bypassing
	}
	events := keptAlive(200*ms, 300*ms, 200*ms)
	takeover := NewTakeover(8080, Gentle, nil, start)
	sweep(takeover, 0, events)
	events.Sent, events.LastSent, events.LastReceived = 300, 10*ms, 400*ms
	sweep(takeover, 100*ms, events)
	events.LastSent, events.LastReceived = 200*ms, 600*ms
	if sweep(takeover, 300*ms, events) != 1 {
		t.Error("a stream was closed")
	}
	events.LastSent, events.LastReceived = 6*time.Second, 7*time.Second
	if sweep(takeover, 6*time.Second, events) != 0 {
		t.Error("a stream that ended long ago is kept")
	}

	late := keptAlive(500*ms, 200*ms, 200*ms)
	takeover = NewTakeover(8080, Gentle, nil, start)
	sweep(takeover, 0, late)
	late.Sent, late.LastSent, late.LastReceived = 300, 10*ms, 300*ms
	sweep(takeover, 100*ms, late)
	late.LastSent, late.LastReceived = 310*ms, 600*ms
	if sweep(takeover, 400*ms, late) != 0 {
		t.Error("a late answer was taken for a stream")
	}

	stalled := keptAlive(110*ms, 200*ms, 110*ms) // on a busy machine, and seen for the first time then
	takeover = NewTakeover(8080, Gentle, nil, start)
	sweep(takeover, 0, stalled)
	stalled.LastSent, stalled.LastReceived = 210*ms, 300*ms
	if sweep(takeover, 100*ms, stalled) != 1 {
		t.Error("a stream that a busy machine had wait was closed")
	}
}
