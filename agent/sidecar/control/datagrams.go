// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// Datagrams are the redirected datagrams of one port, see redirect.Datagrams.
type Datagrams interface {
	Read() (redirect.Datagram, error)
	Reply(to redirect.Datagram, payload []byte) error
	Close() error
}

const (
	// flowIdle is how long a client of UDP says nothing, and hears nothing, before it is forgotten.
	flowIdle = 60 * time.Second
	// answerTime is how long answers are waited for where no new datagrams go any more: as long as a resolver waits
	// (resolv.conf(5), timeout), which of the common clients of UDP is a patient one.
	answerTime = 5 * time.Second
	// retryTime is after how long a flow that the laptop did not take is offered to it again.
	retryTime = 2 * time.Second
	// maxFlows bounds the clients of one port, and with that the memory for their connections to the gateway. One more has the
	// one that has been silent for longest forgotten.
	maxFlows = 512
	// maxWaiting bounds the datagrams of one client that wait for their way to be opened or written.
	maxWaiting = 32
)

// datagramFlows are the clients of one port of UDP.
type datagramFlows struct {
	duty      *Duty
	port      uint16
	datagrams Datagrams
	log       *slog.Logger

	mu       sync.Mutex
	rules    []wire.Rule
	counts   map[string]*flowCounts // by intercept
	flows    map[netip.AddrPort]*datagramFlow
	requests []wire.Request // flows that were decided on since the last report
	ended    context.Context
	end      context.CancelFunc
	leaving  *time.Timer // ends the flows; nil while datagrams are redirected
	closed   bool
}

type flowCounts struct{ matched, fallenBack int64 }

// newDatagramFlows begins to take a port's datagrams. Its mutex may be taken with Duty's held, not the other way round.
func (d *Duty) newDatagramFlows(port uint16, datagrams Datagrams) *datagramFlows {
	f := &datagramFlows{
		duty: d, port: port, datagrams: datagrams, log: d.log,
		counts: map[string]*flowCounts{}, flows: map[netip.AddrPort]*datagramFlow{},
	}
	f.ended, f.end = context.WithCancel(context.Background())
	go f.run()
	return f
}

func (f *datagramFlows) setRules(rules []wire.Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = rules
	for intercept := range f.counts {
		if !slices.ContainsFunc(rules, func(r wire.Rule) bool { return r.Intercept == intercept }) {
			delete(f.counts, intercept)
		}
	}
}

// setRedirected says if more datagrams are to be expected. If not, answers are waited for, and then the flows end; what was
// redirected before and is read only now goes to the app all the same.
func (f *datagramFlows) setRedirected(redirected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case redirected && f.leaving != nil:
		f.leaving.Stop()
		f.leaving = nil
	case !redirected && f.leaving == nil:
		f.waitForAnswers()
	}
}

// waitForAnswers ends the flows in a while, and closes the sockets if the port has been let go by then.
func (f *datagramFlows) waitForAnswers() {
	var timer *time.Timer
	timer = time.AfterFunc(answerTime, func() {
		f.duty.mu.Lock()
		defer f.duty.mu.Unlock()
		if f.endFlows(&timer) && f.duty.leaving[f.port] == f {
			delete(f.duty.leaving, f.port)
			f.close()
		}
	})
	f.leaving = timer
}

// letGo has no more datagrams redirected, and closes the sockets when answers have had time to come.
func (f *datagramFlows) letGo() {
	f.setRules(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaving != nil {
		f.leaving.Stop()
	}
	f.waitForAnswers()
}

// endFlows ends what flows there are, unless the timer is no longer the one in force.
func (f *datagramFlows) endFlows(timer **time.Timer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaving != *timer || f.closed {
		return false
	}
	f.end()
	f.ended, f.end = context.WithCancel(context.Background())
	return true
}

func (f *datagramFlows) close() {
	f.mu.Lock()
	f.closed = true
	if f.leaving != nil {
		f.leaving.Stop()
	}
	f.end()
	f.mu.Unlock()
	if err := f.datagrams.Close(); err != nil {
		f.log.Warn("close the sockets of a port", "port", f.port, "error", err)
	}
}

// reports: counts by rule, flows since the call before, and how many clients there are.
func (f *datagramFlows) reports() ([]wire.InterceptReport, []wire.Request, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var reports []wire.InterceptReport
	for _, rule := range f.rules {
		counts := f.countsOf(rule.Intercept)
		reports = append(reports, wire.InterceptReport{
			Intercept: rule.Intercept, Port: f.port, Protocol: string(redirect.UDP),
			Matched: counts.matched, FallenBack: counts.fallenBack,
		})
	}
	requests := f.requests
	f.requests = nil
	return reports, requests, len(f.flows)
}

func (f *datagramFlows) countsOf(intercept string) *flowCounts {
	if f.counts[intercept] == nil {
		f.counts[intercept] = &flowCounts{}
	}
	return f.counts[intercept]
}

// count notes how a flow was decided on.
func (f *datagramFlows) count(request wire.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if request.To == "app" {
		f.countsOf(request.Intercept).fallenBack++
	} else {
		f.countsOf(request.Intercept).matched++
	}
	f.requests = latest(append(f.requests, request))
}

// run gives each datagram to the flow of its client.
func (f *datagramFlows) run() {
	for {
		datagram, err := f.datagrams.Read()
		if err != nil {
			return
		}
		flow := f.flow(datagram)
		if flow == nil {
			return
		}
		select {
		case flow.waiting <- datagram.Payload:
		default: // lost, as in any full queue of datagrams
		}
	}
}

// flow returns the client's flow, a new one if need be; nil when the port is closed.
func (f *datagramFlows) flow(datagram redirect.Datagram) *datagramFlow {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flow := f.flows[datagram.Client]; flow != nil {
		return flow
	}
	if f.closed {
		return nil
	}
	if len(f.flows) >= maxFlows {
		f.forgetOne()
	}
	flow := newDatagramFlow(f, datagram)
	f.flows[datagram.Client] = flow
	var ctx context.Context
	ctx, flow.cancel = context.WithCancel(f.ended)
	go func() {
		flow.serve(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.flows[datagram.Client] == flow {
			delete(f.flows, datagram.Client)
		}
	}()
	return flow
}

// forgetOne ends the flow that has been silent for longest. f.mu is held.
func (f *datagramFlows) forgetOne() {
	var silent *datagramFlow
	for _, flow := range f.flows {
		if silent == nil || flow.last.Load() < silent.last.Load() {
			silent = flow
		}
	}
	delete(f.flows, silent.first.Client)
	silent.cancel()
}

// rule that takes datagrams: the first for all traffic. What can be said of requests does not apply to datagrams.
func (f *datagramFlows) rule() (wire.Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.rules, func(r wire.Rule) bool { return r.Match == nil && !r.Suspended })
	if i < 0 {
		return wire.Rule{}, false
	}
	return f.rules[i], true
}
