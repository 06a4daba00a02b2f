// SPDX-License-Identifier: Apache-2.0

// Package processors gives a process that carries datagrams one processor while there is little traffic, and all that it
// may have while there is much.
//
// Both ends of the tunnel pass datagrams in the same way, so that both are tuned in the same way; that is why it is
// beside the wire format, which is the one place that the privileged helper and the in-cluster agent share. It must not
// know what a datagram is.
package processors

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// datagramWork is what a datagram costs besides its bytes, counted in bytes.
	datagramWork = 4 << 10
	// manyWork, done within manyTime, is worth several processors: 48 MB/s, or some 11,000 small datagrams a second.
	manyWork = 480 << 10
	manyTime = 10 * time.Millisecond
	// calmWork is how little in calmTime is worth only one again.
	calmWork = 12 << 20
	calmTime = 500 * time.Millisecond
)

// Governor has its process run on one processor while there is little traffic, and on all that it may have while
// there is much. Every datagram passes through half a dozen goroutines one after the other: to wake a thread for each
// costs more than what they do, unless there is enough for them to do side by side.
type Governor struct {
	all, one func() // put it into effect
	start    sync.Once
	work     atomic.Int64 // in all, in bytes

	mu     sync.Mutex
	passed time.Time // when work last passed a multiple of manyWork
	many   bool

	applying sync.Mutex
}

// Process is the process's own. Where somebody has set GOMAXPROCS, it changes nothing.
var Process = newGovernor(os.Getenv("GOMAXPROCS") != "")

func newGovernor(chosen bool) *Governor {
	if chosen || runtime.NumCPU() == 1 {
		return &Governor{all: func() {}, one: func() {}}
	}
	return &Governor{all: runtime.SetDefaultGOMAXPROCS, one: func() { runtime.GOMAXPROCS(1) }}
}

// Begin is called before there is traffic; more than once does no harm.
func (g *Governor) Begin() { g.start.Do(g.one) }

// Moved takes in traffic. It does not wait, and may be called by several at once.
func (g *Governor) Moved(datagrams, bytes int) {
	cost := int64(bytes + datagrams*datagramWork)
	after := g.work.Add(cost)
	if after/manyWork != (after-cost)/manyWork {
		g.pass(time.Now())
	}
}

// pass notes that another portion of work was done.
func (g *Governor) pass(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	quick := now.Sub(g.passed) < manyTime
	g.passed = now
	if quick && !g.many {
		g.many = true
		go g.useAll(calmTime)
	}
}

// useAll uses all processors until traffic has calmed down.
func (g *Governor) useAll(calm time.Duration) {
	g.applying.Lock()
	defer g.applying.Unlock()
	g.all()
	tick := time.NewTicker(calm)
	defer tick.Stop()
	for before := g.work.Load(); ; {
		<-tick.C
		now := g.work.Load()
		if now-before < calmWork {
			break
		}
		before = now
	}
	g.mu.Lock()
	g.many = false
	g.mu.Unlock()
	g.one()
}
