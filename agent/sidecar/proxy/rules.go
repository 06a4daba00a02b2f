// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/matching"
)

// port is a port of the pod. Its rules are replaced as a whole; callers look at them for each connection and each request.
type port struct {
	number uint16
	rules  atomic.Pointer[rules]
}

// rules are what is to be done with a port. They never change.
type rules struct {
	list     []*rule // that are active, in order of precedence
	probes   []wire.Probe
	nodes    []netip.Addr
	released bool // the port is not in the orders any more
	takeover string
}

// rule is one intercept's share of a port.
type rule struct {
	wire.Rule
	matcher *matching.Matcher // nil: all
	counts  *counts
}

// ruleKey names what is counted together.
type ruleKey struct {
	intercept string
	port      uint16
}

// compilePort makes the rules of an order. Rules that can't be understood are left out, and take nothing.
func compilePort(o wire.PortOrder, nodes []netip.Addr, counted func(ruleKey) *counts) (*rules, error) {
	out := &rules{probes: o.Probes, nodes: nodes, takeover: o.Takeover}
	var errs []error
	for _, order := range o.Rules {
		r := &rule{Rule: order, counts: counted(ruleKey{order.Intercept, o.Port})}
		r.counts.suspended.Store(order.Suspended)
		if order.Match != nil {
			var err error
			if r.matcher, err = matching.Compile(*order.Match); err != nil {
				errs = append(errs, fmt.Errorf("intercept %s, port %d: %w", order.Intercept, o.Port, err))
				continue
			}
		}
		if !order.Suspended {
			out.list = append(out.list, r)
		}
	}
	return out, errors.Join(errs...)
}

// whole is the rule that takes connections as a whole, and the mirrors that want a copy of them. It is nil where the requests
// must be looked at: then there is a rule for some of them before.
func (r *rules) whole() (taker *rule, mirrors []*rule, ok bool) {
	for _, rule := range r.list {
		switch {
		case rule.matcher != nil:
			return nil, nil, false
		case rule.Mirror:
			mirrors = append(mirrors, rule)
		default:
			return rule, mirrors, true
		}
	}
	return nil, mirrors, len(mirrors) > 0
}

// all is the rule that takes what the others leave, if there is one.
func (r *rules) all() *rule {
	for _, rule := range r.list {
		if rule.matcher == nil && !rule.Mirror {
			return rule
		}
	}
	return nil
}

// decision is where a request goes.
type decision struct {
	rule    *rule // nil: to the app
	mirrors []*rule
	passed  []*rule // that looked at it in vain
}

// decide fills in d, whose memory it uses again. Kubelet probes go to the app, and nobody counts them.
func (r *rules) decide(d *decision, probe bool, path []byte, fields []matching.Field) {
	d.rule, d.mirrors, d.passed = nil, d.mirrors[:0], d.passed[:0]
	if probe {
		return
	}
	for _, rule := range r.list {
		switch {
		case rule.matcher != nil && !rule.matcher.Match(path, fields):
			d.passed = append(d.passed, rule)
		case rule.Mirror:
			d.mirrors = append(d.mirrors, rule)
		default:
			d.rule = rule
			return
		}
	}
}

// unread is where bytes go that can't be looked into: to the first rule that takes all, else to the app. The personal rules
// before count them.
func (r *rules) unread(d *decision) {
	d.rule, d.mirrors, d.passed = nil, d.mirrors[:0], d.passed[:0]
	for _, rule := range r.list {
		switch {
		case rule.matcher != nil:
			rule.counts.unreadable.Add(1)
		case rule.Mirror:
			d.mirrors = append(d.mirrors, rule)
		default:
			d.rule = rule
			return
		}
	}
}

// count notes a decision that has been carried out. The rule that took it counts for itself.
func (d *decision) count() {
	for _, rule := range d.passed {
		rule.counts.passed.Add(1)
	}
}

// fromNode reports whether a caller may be the kubelet.
func (r *rules) fromNode(client netip.Addr) bool {
	for _, node := range r.nodes {
		if node == client {
			return true
		}
	}
	return false
}

// probed reports whether the kubelet probes the port in one of the ways.
func (r *rules) probed(kinds ...string) bool {
	for _, p := range r.probes {
		for _, kind := range kinds {
			if p.Kind == kind {
				return true
			}
		}
	}
	return false
}
