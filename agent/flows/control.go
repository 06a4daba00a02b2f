// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/tlsconn"
)

// control is the control connection of a sidecar.
type control struct {
	conn      *tlsconn.Conn
	source    netip.Addr
	container string
	wake      chan struct{} // one token: there is something to say
	last      *wire.Order   // not nil: it is not needed any more. Guarded by the Server's mu
}

// prod has the writer look for something to say.
func (c *control) prod() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// farewell has the sidecar told to end. It may stay for a while to finish what it has in hand. It needs the Server's mu.
func (c *control) farewell(revision uint64, patience time.Duration) {
	c.last = &wire.Order{Revision: revision}
	c.prod()
	time.AfterFunc(patience, func() { _ = c.conn.NetConn().Close() })
}

// serveControl holds a control connection until it ends.
func (s *Server) serveControl(p *pod, hello wire.Hello, conn *tlsconn.Conn) {
	c := &control{conn: conn, source: sourceOf(conn), container: hello.Container, wake: make(chan struct{}, 1)}
	if s.welcome(p, conn) != nil {
		return
	}
	log := s.log.With("pod", s.attach(p, c, hello.Program), "container", c.container)
	log.Info("sidecar connected", "program", hello.Program)
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := s.sendOrders(ctx, p, c); err != nil {
			_ = conn.NetConn().Close() // ends the reader
		}
	})
	err := s.readReports(p, c)
	cancel()
	_ = conn.NetConn().Close()
	writer.Wait()
	s.mu.Lock()
	if p.control == c {
		s.detach(p)
	}
	s.mu.Unlock()
	log.Info("sidecar disconnected", "reason", err)
}

// attach makes a control connection the pod's, in the place of an older one. It returns the pod's name.
func (s *Server) attach(p *pod, c *control, program string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := p.spec.Namespace + "/" + p.spec.Name
	if _, refused := s.admitNow(p.uid, c.container, c.source); refused != nil || s.pods[p.uid] != p {
		c.farewell(s.nextRevision(), s.timing.farewell) // things have changed meanwhile
		return name
	}
	if p.control != nil {
		_ = p.control.conn.NetConn().Close()
		s.detach(p)
	}
	p.control, p.refused = c, ""
	p.last.container, p.last.program = c.container, program
	return name
}

// sendOrders sends the order of the pod whenever it changes, and heartbeats.
func (s *Server) sendOrders(ctx context.Context, p *pod, c *control) error {
	heartbeat := time.NewTicker(s.timing.heartbeat)
	defer heartbeat.Stop()
	var sent uint64
	for {
		s.mu.Lock()
		order := p.spec.Order
		if c.last != nil {
			order = *c.last
		}
		s.mu.Unlock()
		if order.Revision == sent {
			order = wire.Order{Revision: sent, Unchanged: true}
		}
		if err := c.conn.SetWriteDeadline(time.Now().Add(s.timing.silence)); err != nil {
			return err
		}
		if err := wire.WriteMessage(c.conn, order, wire.MaxMessage); err != nil {
			s.log.Debug("send an order", "pod", p.uid, "error", err)
			return err
		}
		sent = order.Revision
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-heartbeat.C:
		}
	}
}

// readReports keeps what the sidecar says, until it is silent for too long.
func (s *Server) readReports(p *pod, c *control) error {
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(s.timing.silence)); err != nil {
			return err
		}
		var report wire.Report
		err := wire.ReadMessage(c.conn, &report, wire.MaxMessage)
		if err == nil {
			err = report.Validate()
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		s.keep(p, c, report)
	}
}

// keep takes a report over.
func (s *Server) keep(p *pod, c *control, report wire.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.control != c {
		return
	}
	for _, request := range report.Requests {
		if _, wanted := p.spec.Targets[request.Intercept]; !wanted || request.Validate() != nil {
			continue
		}
		kept := append(p.requests[request.Intercept], request)
		p.requests[request.Intercept] = kept[max(len(kept)-maxKept, 0):]
	}
	report.Requests = nil
	matters := !p.reported || !sameNews(report, p.report)
	if !p.reported {
		p.reported, p.since = true, time.Now()
	}
	p.report = report
	if matters {
		s.changes.note(p.uid)
	}
}

// sameNews reports whether two reports say the same but for when they were probed and how many connections are open.
func sameNews(a, b wire.Report) bool {
	if a.Revision != b.Revision || len(a.Rules) != len(b.Rules) || !reflect.DeepEqual(a.Ports, b.Ports) {
		return false
	}
	for i := range a.Rules {
		x, y := a.Rules[i], b.Rules[i]
		x.ProbedAt, y.ProbedAt = time.Time{}, time.Time{}
		if x != y {
			return false
		}
	}
	return true
}
