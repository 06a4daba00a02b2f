// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A stream brings much if as many bytes come in as much time.
	muchBytes = 1 << 20
	muchTime  = 12 * time.Millisecond

	// lowWater is for how much the reader of such a stream is woken, in bytes: somewhat less than what a tunnel brings with one
	// packet. For more than that the kernel would tell the sender of every packet apart (tcp_input.c, __tcp_ack_snd_check).
	lowWater = 48 << 10

	// gatherFor is how often it is looked whether a stream still brings much, and leastBytes what comes in that time of one that does.
	gatherFor  = time.Millisecond
	leastBytes = 16 << 10
)

// gather has the reader of a stream that brings much woken only when a larger part of it is there (SO_RCVLOWAT in socket(7)): who
// reads faster than is written goes to sleep after every piece, and so does the one it writes to; that costs them more than the
// bytes do. What comes last is held back for no longer than twice gatherFor.
//
// It is for one reader. Its timer runs only while the stream brings much.
type gather struct {
	raw   syscall.RawConn
	bytes int       // since then, while it is off
	since time.Time // undefined if there are none

	on    atomic.Bool
	moved atomic.Int64 // bytes since the timer last looked

	mu    sync.Mutex // of those who turn it on or off
	timer *time.Timer
}

// came says that n bytes were read.
func (g *gather) came(n int) {
	if g.on.Load() {
		g.moved.Add(int64(n))
		return
	}
	if g.bytes == 0 {
		g.since = time.Now()
	}
	if g.bytes += n; g.bytes < muchBytes {
		return
	}
	g.bytes = 0
	if time.Since(g.since) <= muchTime && lowWaterWakes() {
		g.start()
	}
}

func (g *gather) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on.Store(true)
	g.moved.Store(0)
	setLowWater(g.raw, lowWater)
	if g.timer == nil {
		g.timer = time.AfterFunc(gatherFor, g.look)
	} else {
		g.timer.Reset(gatherFor)
	}
}

// look ends it when the stream brings little. A reader who waits for more is woken by that.
func (g *gather) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.on.Load():
	case g.moved.Swap(0) >= leastBytes:
		g.timer.Reset(gatherFor)
	default:
		g.on.Store(false)
		setLowWater(g.raw, 1)
	}
}

// stop has the reader woken for every byte again.
func (g *gather) stop() {
	if !g.on.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.on.Swap(false) {
		g.timer.Stop()
		setLowWater(g.raw, 1)
	}
}

// setLowWater sets from how many bytes on a socket is ready to be read. Its end, its failure, and a buffer that takes no more make it
// ready in any case.
func setLowWater(raw syscall.RawConn, bytes int) {
	_ = raw.Control(func(fd uintptr) { // fails only when it is closed
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes) // without it the reader is woken more often
	})
}

// lowWaterWakes reports whether a reader is woken by what is there when the low water sinks: it is since Linux 4.18
// (tcp_set_rcvlowat in tcp.c).
var lowWaterWakes = sync.OnceValue(func() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); n != 2 {
		return false
	}
	return major > 4 || major == 4 && minor >= 18
})
