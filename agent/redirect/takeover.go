// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"net/netip"
	"time"
)

// Mode says what becomes of connections that were open before the redirect.
type Mode string

const (
	// Gentle closes connections while they are idle, as a server does with those it kept alive: the caller opens a new one.
	Gentle Mode = "Gentle"
	// Force closes all at once.
	Force Mode = "Force"
	// None only counts them.
	None Mode = "None"
)

// Connection is one that the kernel has, as it tells of it.
type Connection struct {
	Local, Remote netip.AddrPort
	// LastSent and LastReceived are how long ago the app's side last sent data, or got some; LastAck how long ago the caller
	// last acknowledged any. The kernel counts in ticks, of 1 to 10 ms.
	LastSent, LastReceived, LastAck time.Duration
	// Unread bytes wait for the app; Unacknowledged ones for the caller; Unsent ones of those have not left yet.
	Unread, Unacknowledged, Unsent uint32
	Received, Sent                 uint64 // bytes of data since it was opened
	SegmentsIn, SegmentsOut        uint32 // with data

	name     []byte // what the kernel knows it by
	ours     bool   // of the sidecar itself
	ipv6Only bool
}

// Bounds of gentle takeover. A connection that is in use is closed in the pause between an answer and the next request: at
// first only in long pauses, then in ever shorter ones.
const (
	// longPause is enough at any time.
	longPause = 500 * time.Millisecond
	// firstPause is enough after the first look: longer than a busy machine has a stream wait that has not been seen to be one.
	firstPause = 250 * time.Millisecond
	// pause is how long a caller may take to say its first word, and to acknowledge an answer.
	pause = 100 * time.Millisecond
	// shortPause is enough after patience: longer than the way to the caller and back, and a tick at least.
	shortPause = 4 * time.Millisecond
	patience   = time.Second
	// doubtfulPause is enough where ticks are too coarse to tell if the app has answered.
	doubtfulPause = time.Second
	// streamPause is how long a stream that the app writes by itself counts as one.
	streamPause = 5 * time.Second

	// sweepInterval is between looks for the first eager time, sweepSlowly after that.
	sweepInterval = 100 * time.Millisecond
	eager         = 30 * time.Second
	sweepSlowly   = time.Second
)

// Takeover moves the callers of a port over that were connected to the app before new connections were redirected. It is used
// by one goroutine.
type Takeover struct {
	port  uint16
	mode  Mode
	spare map[netip.Addr]bool
	begun time.Time
	seen  map[string]Connection // by name, at the last look
	push  map[string]time.Time  // connections where the app talked without being asked: a stream; since when it was last seen so
}

// NewTakeover begins with a port that is redirected now. Callers at spared addresses (nodes, from where the kubelet probes)
// are treated gently even by Force.
func NewTakeover(port uint16, mode Mode, spared []netip.Addr, now time.Time) *Takeover {
	t := &Takeover{port: port, mode: mode, spare: map[netip.Addr]bool{}, begun: now, push: map[string]time.Time{}}
	for _, addr := range spared {
		t.spare[addr] = true
	}
	return t
}

// kernel is what a takeover needs of it.
type kernel interface {
	// connections that are established to the port.
	connections(port uint16) ([]Connection, error)
	// again looks at one once more; errGone if it is no more.
	again(Connection) (Connection, error)
	// destroy resets it.
	destroy(Connection) error
}

var (
	errGone = errors.New("the connection is no more")
	// ErrCannotDestroy: the kernel was built without CONFIG_INET_DIAG_DESTROY.
	ErrCannotDestroy = errors.New("the node's kernel can't close connections of others (CONFIG_INET_DIAG_DESTROY): callers " +
		"that keep connections open reach the app until they open new ones")
)

// sweep closes what may be closed now. It returns how many connections still bypass the sidecar, and when to look again;
// 0 when there is nothing left to do.
func (t *Takeover) sweep(k kernel, now time.Time) (bypassing int, next time.Duration, err error) {
	all, err := k.connections(t.port)
	if err != nil {
		return 0, sweepSlowly, err
	}
	seen := make(map[string]Connection, len(all))
	for _, c := range all {
		if c.ours || c.Remote.Addr() == c.Local.Addr() {
			continue // accepted by the sidecar, or within the pod
		}
		name := string(c.name)
		t.watch(name, c, now)
		seen[name] = c
		if !t.due(c, now) {
			continue
		}
		closed, failed := t.close(k, c, now)
		if failed != nil {
			err = failed
		}
		if closed {
			delete(seen, name)
		}
	}
	t.seen = seen
	for name := range t.push {
		if _, there := seen[name]; !there {
			delete(t.push, name)
		}
	}
	switch {
	case len(seen) == 0 && err == nil:
		// What was opened before is closed; what is opened now is redirected. Some may still be in the making.
		if now.Sub(t.begun) > patience {
			return 0, 0, nil
		}
		return 0, sweepInterval, nil
	case t.mode != None && err == nil && now.Sub(t.begun) < eager:
		return len(seen), sweepInterval, nil
	default:
		return len(seen), sweepSlowly, err
	}
}

// close looks at the connection once more, and resets it if that is still right.
func (t *Takeover) close(k kernel, c Connection, now time.Time) (bool, error) {
	c, err := k.again(c)
	if errors.Is(err, errGone) {
		return true, nil
	}
	if err != nil || !t.due(c, now) {
		return false, err
	}
	if err := k.destroy(c); err != nil && !errors.Is(err, errGone) {
		return false, err
	}
	return true, nil
}

// watch notices streams: the app sent something since the last look, and had got nothing.
func (t *Takeover) watch(name string, c Connection, now time.Time) {
	before, known := t.seen[name]
	if !known {
		return
	}
	answered := before.LastSent < before.LastReceived || before.LastSent == before.LastReceived && before.SegmentsIn <= before.SegmentsOut
	switch {
	case c.Received != before.Received:
		delete(t.push, name)
	case c.Sent != before.Sent && answered:
		t.push[name] = now
	}
}

// due reports whether the connection may be closed now.
func (t *Takeover) due(c Connection, now time.Time) bool {
	switch {
	case t.mode == None:
		return false
	case t.mode == Force && !t.spare[c.Remote.Addr()]:
		return true
	}
	since := now.Sub(t.begun)
	enough := longPause
	switch {
	case since >= patience:
		enough = shortPause
	case since >= sweepInterval/2:
		enough = firstPause
	}
	if pushed, stream := t.push[string(c.name)]; stream && now.Sub(pushed) < streamPause {
		return false
	}
	return idle(c, enough)
}

// idle reports whether the app owes the caller nothing, and neither has said anything for so long.
func idle(c Connection, enough time.Duration) bool {
	quiet := min(c.LastSent, c.LastReceived)
	if c.Unread > 0 || c.Unsent > 0 || quiet < enough {
		return false
	}
	if c.Received == 0 {
		// The caller has not asked for anything. It may be about to.
		return c.Unacknowledged == 0 && quiet >= pause
	}
	switch {
	case c.LastSent < c.LastReceived:
		// The app had the last word. Callers acknowledge an answer late, up to 40 ms, or with their next request: short pauses
		// are seen only before that. A long silence without acknowledgement is trouble on the way; it resolves itself.
		return c.Unacknowledged == 0 || quiet < pause && c.Unacknowledged <= maxTail
	case c.LastSent > c.LastReceived:
		return false // the app is asked and has not answered
	case c.Unacknowledged > 0:
		// Within one tick, and what the app sent is not acknowledged: so it came last, or the caller's data would have
		// acknowledged it.
		return quiet < pause && c.Unacknowledged <= maxTail
	case c.LastAck < c.LastReceived:
		return true // the answer was acknowledged by itself, after the last request
	default:
		// Caller and app spoke within one tick, and nothing says who was last. Segments tell where each request and each
		// answer fits into one, as with long polls, whose next request follows at once.
		return c.SegmentsIn <= c.SegmentsOut && quiet >= doubtfulPause
	}
}

// maxTail is the longest end of an answer, in bytes, that is taken as delivered though the caller has not acknowledged it yet.
const maxTail = 16 << 10
