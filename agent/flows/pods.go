// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// maxKept is how many requests of an intercept are kept per pod.
const maxKept = 100

// pod is what a Server knows of a pod. Its fields are guarded by the Server's mu.
type pod struct {
	uid  types.UID
	spec Pod // Order has its Revision

	control  *control // nil while no sidecar is connected
	reported bool     // by that one
	since    time.Time
	last     struct{ container, program string }
	report   wire.Report
	refused  string
	requests map[string][]wire.Request // by intercept, oldest first

	idle  map[*flowConn]struct{} // that wait for their Open
	flows map[*flow]struct{}
}

// SetPod says what the sidecar of a pod is to do and where its flows may go. It is cheap when nothing changed. The Server
// keeps what it is given: the caller must not change it any more.
func (s *Server) SetPod(spec Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[spec.UID]
	if p == nil {
		p = &pod{
			uid: spec.UID, since: time.Now(), requests: make(map[string][]wire.Request),
			idle: make(map[*flowConn]struct{}), flows: make(map[*flow]struct{}),
		}
		s.pods[spec.UID] = p
		delete(s.gone, spec.UID)
		spec.Order.Revision = s.nextRevision()
	} else {
		spec.Order.Revision = p.spec.Order.Revision
		if reflect.DeepEqual(spec, p.spec) {
			return
		}
		if !reflect.DeepEqual(spec.Order, p.spec.Order) {
			spec.Order.Revision = s.nextRevision()
		}
	}
	spec.Order.Unchanged = false
	ordered := spec.Order.Revision != p.spec.Order.Revision
	p.spec = spec
	close(s.known)
	s.known = make(chan struct{})
	for intercept := range p.requests {
		if _, wanted := spec.Targets[intercept]; !wanted {
			delete(p.requests, intercept)
		}
	}
	s.dismiss(p)
	if p.control != nil && ordered {
		p.control.prod()
	}
	for f := range p.flows {
		s.reconsider(p, f)
	}
}

// dismiss ends the connections of sidecars that are not the pod's any more: of another container, or from an address that
// is no longer the pod's. It needs s.mu.
func (s *Server) dismiss(p *pod) {
	if c := p.control; c != nil {
		_, refused := s.admitNow(p.uid, c.container, c.source)
		switch {
		case refused == nil:
		case refused.final:
			c.farewell(s.nextRevision(), s.timing.farewell)
			s.detach(p)
		default:
			_ = c.conn.NetConn().Close() // its reader notices
		}
	}
	for c := range p.idle {
		if _, refused := s.admitNow(p.uid, c.container, c.source); refused != nil {
			_ = c.conn.NetConn().Close()
		}
	}
}

// detach forgets that a sidecar is connected. It needs s.mu.
func (s *Server) detach(p *pod) {
	p.control = nil
	if p.reported {
		p.reported, p.since = false, time.Now()
	}
	s.changes.note(p.uid)
}

// RemovePod says that the pod needs no sidecar any more: one that is connected is told to end.
func (s *Server) RemovePod(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[uid]
	if p == nil {
		return
	}
	delete(s.pods, uid)
	s.bury(uid, time.Now())
	if p.control != nil {
		p.control.farewell(s.nextRevision(), s.timing.farewell)
		p.control = nil
	}
	for c := range p.idle {
		_ = c.conn.NetConn().Close()
	}
	for f := range p.flows {
		s.reconsider(p, f)
	}
}

// bury remembers for a while that a pod needs no sidecar any more. It needs s.mu.
func (s *Server) bury(uid types.UID, now time.Time) {
	if len(s.gone) >= tombstones {
		oldest, when := uid, now
		for other, at := range s.gone {
			if now.Sub(at) > tombstoneAge {
				delete(s.gone, other)
			} else if at.Before(when) {
				oldest, when = other, at
			}
		}
		if len(s.gone) >= tombstones {
			delete(s.gone, oldest)
		}
	}
	s.gone[uid] = now
}

// nextRevision needs s.mu.
func (s *Server) nextRevision() uint64 {
	s.revision++
	return s.revision
}

// State returns what is known of a pod's sidecar: zero for a pod that SetPod did not name.
func (s *Server) State(uid types.UID) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[uid]
	if p == nil {
		return State{}
	}
	return State{
		Connected: p.reported, Container: p.last.container, Program: p.last.program,
		Revision: p.spec.Order.Revision, Report: p.report, Since: p.since, Refused: p.refused,
	}
}

// Changes tells of pods about whose sidecar something changed: it came, it was lost or refused, it reports something new.
// It has one reader, and must be read from while Serve runs.
func (s *Server) Changes() <-chan types.UID { return s.changes.out }

// Requests returns the latest requests of an intercept in all pods, oldest first.
func (s *Server) Requests(intercept string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Request
	for _, p := range s.pods {
		for _, request := range p.requests[intercept] {
			all = append(all, Request{Pod: p.spec.Name, Request: request})
		}
	}
	slices.SortStableFunc(all, func(a, b Request) int { return a.At.Compare(b.At) })
	return all
}

// setRefused notes why a sidecar of the pod was refused.
func (s *Server) setRefused(p *pod, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.refused != why {
		p.refused = why
		s.changes.note(p.uid)
	}
}

// noteRefusal notes it for the pod with that address, if there is one: nobody else can tell us about a pod.
func (s *Server) noteRefusal(source netip.Addr, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if p.refused != why && slices.Contains(p.spec.Addresses, source) {
			p.refused = why
			s.changes.note(p.uid)
		}
	}
}
