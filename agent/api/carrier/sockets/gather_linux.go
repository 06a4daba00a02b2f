// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A stream brings much if as many bytes come in as much time.
	muchBytes = 1 << 20
	muchTime  = 12 * time.Millisecond

	// partSize is how much of such a stream is passed on at a time, in bytes.
	partSize = 192 << 10
	// gatherFor is how long the reader waits for a part.
	gatherFor = time.Millisecond
	// leastPart is what at least comes in that time of a stream that still brings much, in bytes.
	leastPart = 16 << 10

	// lowWater is for how much the reader of such a stream is woken, in bytes: somewhat less than what a tunnel brings with one
	// packet. For more than that the kernel would tell the sender of every packet apart (tcp_input.c, __tcp_ack_snd_check).
	lowWater = 48 << 10
)

// gather has the reader of a stream that brings much wait until a larger part of it is there. A program that reads slower than
// it is written to is woken, and goes to sleep again, for every piece; that costs it more than the bytes do. The last of a
// stream is held back for no longer than gatherFor.
//
// Its zero value is ready. It is for one reader, who calls all of its methods while the descriptor can't be closed.
type gather struct {
	on    bool
	bytes int       // since then, while it is off
	since time.Time // undefined if there are none

	// Of the part that is under way:
	got   int       // bytes
	until time.Time // when it is waited for no longer; zero while it was not waited for
	ready bool      // the last wait was not in vain
	last  bool      // what has come is to be taken, be it ever so little, and no more
}

// begin begins a part.
func (g *gather) begin() { g.got, g.until, g.ready, g.last = 0, time.Time{}, false, false }

// came says that n bytes were read.
func (g *gather) came(fd uintptr, n int) {
	if n == 0 {
		return
	}
	g.got += n
	g.ready = false
	if g.on {
		return
	}
	if g.bytes == 0 {
		g.since = time.Now()
	}
	if g.bytes += n; g.bytes >= muchBytes {
		g.bytes = 0
		if time.Since(g.since) <= muchTime {
			g.on = true
			setLowWater(fd, lowWater)
		}
	}
}

// wants reports whether more than that is to be read before it is passed on, if it is there.
func (g *gather) wants(bytes int) bool { return g.on && bytes < partSize && !g.last }

// wait waits for more, after nothing was there. It reports whether to read again.
func (g *gather) wait(fd uintptr) bool {
	switch {
	case !g.on:
		return false
	case g.last || g.ready: // all was taken, or there is no room for it
		return false
	case g.until.IsZero():
		g.until = time.Now().Add(gatherFor)
	}
	left := time.Until(g.until)
	if left <= 0 {
		g.last = true
		return true
	}
	timeout := unix.NsecToTimespec(left.Nanoseconds())
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Ppoll(fds[:], &timeout, nil)
	switch {
	case errors.Is(err, unix.EINTR):
	case n > 0:
		g.ready = true
	default:
		g.last = true
	}
	return true
}

// end ends a part. A stream that brings little now is read as always from then on.
func (g *gather) end(fd uintptr) {
	if g.got == 0 || g.last && g.got < leastPart {
		g.stop(fd)
	}
}

// stop has the reader woken for every byte again.
func (g *gather) stop(fd uintptr) {
	if g.on {
		g.on = false
		setLowWater(fd, 1)
	}
}

// setLowWater sets from how many bytes on a socket is ready to be read (SO_RCVLOWAT in socket(7)). Its end, and its failure, make
// it ready in any case, and so does a buffer that takes no more.
func setLowWater(fd uintptr, bytes int) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes) // without it, only more is waited for
}
