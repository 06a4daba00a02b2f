// SPDX-License-Identifier: Apache-2.0

package wireguard

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

// processors has this process run on one processor while there is little traffic, and on all that it may have while
// there is much. Every datagram passes through half a dozen goroutines one after the other: to wake a thread for each
// costs more than what they do, unless there is enough for them to do side by side.
type processors struct {
	all, one func() // put it into effect
	start    sync.Once
	work     atomic.Int64 // in all, in bytes

	mu     sync.Mutex
	passed time.Time // when work last passed a multiple of manyWork
	many   bool

	applying sync.Mutex
}

// theProcessors are the process's own. Whoever sets GOMAXPROCS has chosen.
var theProcessors = newProcessors(os.Getenv("GOMAXPROCS") != "")

func newProcessors(chosen bool) *processors {
	if chosen || runtime.NumCPU() == 1 {
		return &processors{all: func() {}, one: func() {}}
	}
	return &processors{all: runtime.SetDefaultGOMAXPROCS, one: func() { runtime.GOMAXPROCS(1) }}
}

// begin is called before there is traffic.
func (p *processors) begin() { p.start.Do(p.one) }

// moved takes in traffic. It does not wait.
func (p *processors) moved(datagrams, bytes int) {
	cost := int64(bytes + datagrams*datagramWork)
	after := p.work.Add(cost)
	if after/manyWork != (after-cost)/manyWork {
		p.pass(time.Now())
	}
}

// pass notes that another portion of work was done.
func (p *processors) pass(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	quick := now.Sub(p.passed) < manyTime
	p.passed = now
	if quick && !p.many {
		p.many = true
		go p.useAll(calmTime)
	}
}

// useAll uses all processors until traffic has calmed down.
func (p *processors) useAll(calm time.Duration) {
	p.applying.Lock()
	defer p.applying.Unlock()
	p.all()
	tick := time.NewTicker(calm)
	defer tick.Stop()
	for before := p.work.Load(); ; {
		<-tick.C
		now := p.work.Load()
		if now-before < calmWork {
			break
		}
		before = now
	}
	p.mu.Lock()
	p.many = false
	p.mu.Unlock()
	p.one()
}
