// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

const (
	// probeInterval is between probes of a rule that did not change.
	probeInterval = 3 * time.Second
	// maxProbing is how many are on their way at once.
	maxProbing = 4
)

// ruleName tells rules apart: an intercept can have several ports.
type ruleName struct {
	intercept string
	port      portName
}

// probed is what is known of the whole way of one rule.
type probed struct {
	rule   wire.Rule
	answer wire.Answer
	at     time.Time // of the last answer
	due    time.Time
	asking bool
}

// prober knows of each rule if it reaches its laptop. It is safe for concurrent use.
type prober struct {
	mu    sync.Mutex
	rules map[ruleName]*probed
	due   chan struct{}
}

func newProber() *prober {
	return &prober{rules: map[ruleName]*probed{}, due: make(chan struct{}, 1)}
}

// set replaces the rules. Those that are not suspended are probed at once.
func (p *prober) set(orders []wire.PortOrder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	present := map[ruleName]bool{}
	for _, o := range orders {
		for _, rule := range o.Rules {
			name := ruleName{rule.Intercept, nameOf(o)}
			present[name] = true
			if known := p.rules[name]; known == nil || !reflect.DeepEqual(known.rule, rule) {
				p.rules[name] = &probed{rule: rule}
			}
			p.rules[name].due = time.Time{}
		}
	}
	for name := range p.rules {
		if !present[name] {
			delete(p.rules, name)
		}
	}
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// fill puts answers into the reports, and adds reports for rules that have none.
func (p *prober) fill(reports []wire.InterceptReport, orders []wire.PortOrder) []wire.InterceptReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range orders {
		for _, rule := range o.Rules {
			i := slices.IndexFunc(reports, func(r wire.InterceptReport) bool {
				return r.Intercept == rule.Intercept && r.Port == o.Port && r.Protocol == o.Protocol
			})
			if i < 0 {
				i = len(reports)
				reports = append(reports, wire.InterceptReport{Intercept: rule.Intercept, Port: o.Port, Protocol: o.Protocol})
			}
			if known := p.rules[ruleName{rule.Intercept, nameOf(o)}]; known != nil {
				reports[i].Probe, reports[i].ProbedAt = known.answer, known.at
			}
		}
	}
	return reports
}

// next returns the rules to probe now, and when to look again.
func (p *prober) next(now time.Time) (due []ruleName, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = probeInterval
	for name, known := range p.rules {
		switch {
		case known.rule.Suspended || known.asking:
		case known.due.After(now):
			wait = min(wait, known.due.Sub(now))
		default:
			known.asking = true
			due = append(due, name)
		}
	}
	return due, wait
}

// tell stores an answer, and reports whether it is news.
func (p *prober) tell(name ruleName, asked *probed, answer wire.Answer, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rules[name] != asked {
		return false
	}
	news := asked.at.IsZero() || asked.answer != answer
	asked.answer, asked.at, asked.due, asked.asking = answer, now, now.Add(probeInterval), false
	return news
}

func (p *prober) get(name ruleName) *probed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules[name]
}

// Probe probes the whole way of each rule, after each change and every few seconds, until the context ends.
func (d *Duty) Probe(ctx context.Context) {
	slots := make(chan struct{}, maxProbing)
	for {
		due, wait := d.probes.next(time.Now())
		for _, name := range due {
			slots <- struct{}{}
			go func() {
				defer func() { <-slots }()
				d.probe(ctx, name)
			}()
		}
		select {
		case <-time.After(wait):
		case <-d.probes.due:
		case <-ctx.Done():
			return
		}
	}
}

func (d *Duty) probe(ctx context.Context, name ruleName) {
	asked := d.probes.get(name)
	if asked == nil {
		return
	}
	open := wire.Open{
		Intercept: name.intercept, Port: name.port.number, Protocol: name.port.protocol, Kind: wire.FlowProbe,
	}
	conn, answer, err := d.pool.Open(ctx, open)
	if conn != nil {
		_ = conn.Close()
	}
	if err != nil {
		answer = wire.Answer{Result: wire.LaptopAway, Detail: "the gateway did not answer: " + err.Error()}
	}
	if d.probes.tell(name, asked, answer, time.Now()) {
		d.poke()
	}
}
