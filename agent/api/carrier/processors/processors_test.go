// SPDX-License-Identifier: Apache-2.0

package processors

import (
	"testing"
	"time"
)

// Much traffic is given all processors, until there is little again; little never is.
func TestProcessorsFollowTraffic(t *testing.T) {
	applied := make(chan string, 8)
	p := &Governor{all: func() { applied <- "all" }, one: func() { applied <- "one" }}
	p.Begin()
	p.Begin()
	if got := <-applied; got != "one" {
		t.Fatalf("begins with %s", got)
	}
	now := time.Now()
	for range 10 { // slow
		p.pass(now)
		now = now.Add(manyTime)
	}
	select {
	case got := <-applied:
		t.Fatalf("%s for little traffic", got)
	default:
	}
	p.pass(now.Add(-manyTime / 2))
	for _, want := range []string{"all", "one"} {
		if got := <-applied; got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.many {
		t.Error("does not notice the next time")
	}
}

// Work is counted in portions: many small datagrams are as much as a few large ones.
func TestWorkIsCountedInPortions(t *testing.T) {
	for name, one := range map[string][2]int{"small": {1, 100}, "large": {128, 128 * 1400}, "one huge": {1, 4 * manyWork}} {
		p := &Governor{all: func() {}, one: func() {}}
		passed := 0
		for p.work.Load() < 3*manyWork {
			before := p.passed
			p.Moved(one[0], one[1])
			if p.passed != before {
				passed++
			}
			p.passed = time.Time{} // never quick
		}
		if passed == 0 || passed > 3 {
			t.Errorf("%s: %d portions noticed", name, passed)
		}
	}
}
