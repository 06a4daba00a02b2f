// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/tlsconn"
)

// flowConn is a sidecar's connection for one flow.
type flowConn struct {
	conn      *tlsconn.Conn
	source    netip.Addr
	container string
}

// serveFlow waits for the Open of a connection, and carries the flow.
func (s *Server) serveFlow(ctx context.Context, p *pod, hello wire.Hello, conn *tlsconn.Conn) {
	c := &flowConn{conn: conn, source: sourceOf(conn), container: hello.Container}
	if !s.enqueue(p, c) {
		s.counters.refused(reasonOverloaded)
		_ = wire.WriteMessage(conn, wire.Welcome{Error: "too many connections of this pod wait for flows"}, wire.MaxOpen) // it may be gone
		_ = conn.Close()
		return
	}
	var open wire.Open
	err := s.welcome(p, conn)
	if err == nil {
		err = wire.ReadMessage(conn, &open, wire.MaxOpen)
	}
	arrived := time.Now()
	s.dequeue(p, c)
	if err != nil {
		return // most of them are never used
	}
	answer, f := s.open(ctx, p, c, open, arrived)
	s.counters.answered(answer.Result)
	if f != nil {
		defer s.end(p, f)
		defer f.abort()
	}
	if err := conn.SetDeadline(time.Now().Add(s.timing.answer)); err != nil {
		return
	}
	if err := wire.WriteMessage(conn, answer, wire.MaxOpen); err != nil {
		return
	}
	if f == nil || open.Kind == wire.FlowProbe || answer.Result != wire.Accepted {
		_ = conn.Close()
		return
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return
	}
	f.carry(&s.counters)
}

// enqueue counts a connection among those that wait. It returns false if there are too many, or if the pod's sidecar is
// another one by now.
func (s *Server) enqueue(p *pod, c *flowConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, refused := s.admitNow(p.uid, c.container, c.source); refused != nil || s.pods[p.uid] != p {
		return false
	}
	if len(p.idle) >= s.limits.IdleFlows {
		return false
	}
	p.idle[c] = struct{}{}
	return true
}

func (s *Server) dequeue(p *pod, c *flowConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.idle, c)
}

// open decides on an Open, and asks the laptop. With an answer from there it returns the flow, which counts until end.
func (s *Server) open(ctx context.Context, p *pod, c *flowConn, open wire.Open, arrived time.Time) (wire.Answer, *flow) {
	if err := open.Validate(); err != nil {
		return wire.Answer{Result: wire.NotIntercepted, Detail: "open: " + err.Error()}, nil
	}
	f := &flow{sidecar: c.conn, intercept: open.Intercept, port: Port{open.Port, open.Protocol}, kind: open.Kind}
	target, podName, refused := s.begin(p, c, f)
	if refused != nil {
		return *refused, nil
	}
	answer, err := s.ask(ctx, f, target, podName, open, arrived)
	if err != nil {
		s.end(p, f)
		s.log.Debug("laptop not reached", "connection", target.Connection, "pod", podName, "error", err)
		return wire.Answer{Result: wire.LaptopAway, Detail: err.Error()}, nil
	}
	return answer, f
}

// begin looks whether the pod's order has the rule that the flow is for, and counts it in.
func (s *Server) begin(p *pod, c *flowConn, f *flow) (Target, string, *wire.Answer) {
	refuse := func(result wire.Result, format string, args ...any) (Target, string, *wire.Answer) {
		return Target{}, "", &wire.Answer{Result: result, Detail: fmt.Sprintf(format, args...)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, refused := s.admitNow(p.uid, c.container, c.source); refused != nil || s.pods[p.uid] != p {
		return refuse(wire.NotIntercepted, "this sidecar is not the one that serves the pod any more")
	}
	rule := findRule(p.spec.Order, f)
	target, known := p.spec.Targets[f.intercept]
	port := target.TunnelPort
	if other, ok := target.Ports[f.port]; ok {
		port = other
	}
	switch {
	case rule == nil || !known || port == 0:
		return refuse(wire.NotIntercepted, "port %d/%s of the pod is not intercepted by this intercept", f.port.Number, f.port.Protocol)
	case f.kind != wire.FlowProbe && rule.Mirror != (f.kind == wire.FlowMirror):
		return refuse(wire.NotIntercepted, "a flow of kind %s does not fit this intercept", f.kind)
	case rule.Suspended:
		return refuse(wire.LaptopAway, "the intercept is suspended: its laptop is away")
	case len(p.flows) >= s.limits.PodFlows:
		return refuse(wire.Overloaded, "the pod has %d flows open, the most that are allowed", len(p.flows))
	case s.flows >= s.limits.Flows:
		return refuse(wire.Overloaded, "the gateway has %d flows open, the most that are allowed", s.flows)
	}
	target.TunnelPort = port
	p.flows[f] = struct{}{}
	s.flows++
	return target, p.spec.Name, nil
}

func findRule(order wire.Order, f *flow) *wire.Rule {
	for i := range order.Ports {
		port := &order.Ports[i]
		if port.Port != f.port.Number || port.Protocol != f.port.Protocol {
			continue
		}
		for j := range port.Rules {
			if port.Rules[j].Intercept == f.intercept {
				return &port.Rules[j]
			}
		}
	}
	return nil
}

// end forgets a flow.
func (s *Server) end(p *pod, f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := p.flows[f]; ok {
		delete(p.flows, f)
		s.flows--
		f.stopTimer()
	}
}

// ask has the laptop decide. Errors are for people.
func (s *Server) ask(ctx context.Context, f *flow, target Target, podName string, open wire.Open, arrived time.Time) (wire.Answer, error) {
	if heard := s.options.Laptops.Heard(target.Connection); !heard.IsZero() && time.Since(heard) > s.timing.laptopAway {
		return wire.Answer{}, fmt.Errorf("the laptop has not been heard for %s", time.Since(heard).Round(time.Second))
	}
	dialing, cancel := context.WithDeadline(ctx, arrived.Add(s.timing.dial))
	defer cancel()
	laptop, err := s.options.Laptops.Dial(dialing, target.Connection, target.TunnelPort)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return wire.Answer{}, errors.New("the laptop does not answer")
	case err != nil:
		return wire.Answer{}, fmt.Errorf("the laptop takes no flows: %w", err)
	}
	f.setLaptop(laptop)
	open.Pod = podName
	var answer wire.Answer
	err = laptop.SetDeadline(arrived.Add(s.timing.answer))
	if err == nil {
		err = wire.WriteMessage(laptop, open, wire.MaxOpen)
	}
	if err == nil {
		err = wire.ReadMessage(laptop, &answer, wire.MaxOpen)
	}
	if err == nil {
		err = answer.Validate()
	}
	if err == nil {
		err = laptop.SetDeadline(time.Time{})
	}
	if err != nil {
		tlsconn.Reset(laptop)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return wire.Answer{}, errors.New("the laptop does not answer")
		}
		return wire.Answer{}, fmt.Errorf("the laptop: %w", err)
	}
	return answer, nil
}

// reconsider looks at a flow again after its pod's order has changed. Of a laptop that is away, requests are given up, so
// that the app can take those that may be repeated; what is not HTTP may go on when the laptop is back. It needs s.mu.
func (s *Server) reconsider(p *pod, f *flow) {
	var patience time.Duration
	switch rule := findRule(p.spec.Order, f); {
	case rule == nil || s.pods[p.uid] != p:
		patience = s.timing.ruleGone
	case !rule.Suspended:
		f.stopTimer()
		return
	case f.kind == wire.FlowRaw:
		patience = s.timing.rawAway
	}
	if f.timer == nil || patience == 0 {
		f.stopTimer()
		f.timer = time.AfterFunc(patience, f.abort)
	}
}
