// SPDX-License-Identifier: Apache-2.0

package control

import (
	"time"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// takeover of a port's earlier connections, running beside. Its fields are guarded by Duty.mu.
type takeover struct {
	bypassing int
	problem   string
	done      chan struct{}
}

func (t *takeover) stop() {
	if t != nil {
		close(t.done)
	}
}

// takeOver begins with the takeover of a port that is redirected, and ends it with the redirect.
func (d *Duty) takeOver(p *port) {
	wanted := p.order.Protocol == string(redirect.TCP) && p.active() && p.redirected()
	switch {
	case !wanted && p.takeover != nil:
		p.takeover.stop()
		p.takeover = nil
	case wanted && p.takeover == nil:
		p.takeover = &takeover{done: make(chan struct{})}
		mode := redirect.Mode(p.order.Takeover)
		if mode == "" {
			mode = redirect.Gentle
		}
		if p.order.Listen != 0 {
			mode = redirect.None // closing others' connections takes a capability
		}
		go d.sweep(d.kernel.Takeover(p.order.Port, mode, d.order.NodeAddresses), p.takeover)
	}
}

// sweep runs the takeover until it is done or stopped.
func (d *Duty) sweep(sweeper Sweeper, t *takeover) {
	for {
		bypassing, next, err := sweeper.Sweep(time.Now())
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		d.mu.Lock()
		if bypassing != t.bypassing || problem != t.problem {
			t.bypassing, t.problem = bypassing, problem
			d.poke()
		}
		d.mu.Unlock()
		if next == 0 {
			return
		}
		select {
		case <-time.After(next):
		case <-t.done:
			return
		}
	}
}
