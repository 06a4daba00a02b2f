// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/matching"
)

// h2stream is a request of a caller. h2conn.mu guards it.
type h2stream struct {
	down, up   *h2half
	mirrors    []*h2half
	head, tail []hpack.HeaderField // as the caller sent them
	rule       *rule               // that took it
	started    time.Time
	method     string
	path       string
	grpc       bool
	status     int
	begun      bool // a byte of the answer has come
	answered   bool // the final answer's head has come
	reported   bool
	retried    bool    // at the same laptop
	resetAfter *h2Code // the caller is told when it has got the whole answer
}

// open begins a stream that the caller opened. The lock is held.
func (h *h2conn) open(id uint32, fields []hpack.HeaderField, end bool) {
	s := &h2stream{head: fields, started: time.Now()}
	s.down = &h2half{stream: s, peer: h.down, id: id, window: h.down.initial, gotEnd: end}
	h.down.halves[id] = s.down
	if len(h.streams) >= h2MaxStreams {
		h.closeHalf(s.down, h2Refused)
		return
	}
	h.streams[s] = struct{}{}
	d := h.decide(s)
	d.count()
	s.rule = d.rule
	peer := (*h2peer)(nil)
	head := fields
	if d.rule == nil {
		peer = h.appPeer()
	} else {
		peer = h.laptopPeer(h.laptops, d.rule, wire.FlowHTTP, s.method, s.path)
		head = withForwarded(fields, h.caller.client.Addr().String())
	}
	s.up = &h2half{stream: s, peer: peer, first: head, heads: [][]hpack.HeaderField{head}, end: end, keep: d.rule != nil}
	s.up.other, s.down.other = s.down, s.up
	peer.await(s.up)
	for _, r := range d.mirrors {
		p := h.laptopPeer(h.mirrors, r, wire.FlowMirror, s.method, s.path)
		m := &h2half{stream: s, peer: p, mirror: true, heads: [][]hpack.HeaderField{fields}, end: end}
		s.mirrors = append(s.mirrors, m)
		r.counts.matched.Add(1)
		h.caller.proxy.decided(r, s.started, s.method, s.path, toMirror, "", 0)
		p.await(m)
		p.flush()
	}
	peer.flush()
}

// decide reads the request's head and has the rules decide.
func (h *h2conn) decide(s *h2stream) decision {
	var d decision
	probe := false
	fields := make([]matching.Field, 0, len(s.head))
	for _, f := range s.head {
		name := f.Name
		switch name {
		case ":method":
			s.method = f.Value
		case ":path":
			s.path, _, _ = strings.Cut(f.Value, "?")
		case ":authority":
			name = "host"
		case "user-agent":
			probe = probe || strings.HasPrefix(f.Value, "kube-probe/")
		case "content-type":
			s.grpc = strings.HasPrefix(f.Value, "application/grpc")
		}
		if name != "" && name[0] != ':' {
			fields = append(fields, matching.Field{Name: []byte(name), Value: bytes.Trim([]byte(f.Value), " \t")})
		}
	}
	if h.all != nil {
		if !probe {
			d.rule = h.all
		}
		return d
	}
	h.caller.port.rules.Load().decide(&d, probe, []byte(s.path), fields)
	return d
}

// withForwarded is a head with the caller's address in X-Forwarded-For.
func withForwarded(fields []hpack.HeaderField, client string) []hpack.HeaderField {
	out := make([]hpack.HeaderField, 0, len(fields)+1)
	out = append(out, fields...)
	for i, f := range slices.Backward(out) {
		if f.Name == "x-forwarded-for" {
			if f.Value != "" {
				client = f.Value + ", " + client
			}
			out[i].Value = client
			return out
		}
	}
	return append(out, hpack.HeaderField{Name: "x-forwarded-for", Value: client})
}

// copies are the halves that get what comes from half as well.
func (s *h2stream) copies(half *h2half) []*h2half {
	if half != s.down || len(s.mirrors) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.mirrors), func(m *h2half) bool { return m.closed })
}

// noteAnswer takes the head of an answer, or of one that comes before it.
func (s *h2stream) noteAnswer(fields []hpack.HeaderField) {
	for _, f := range fields {
		if f.Name == ":status" {
			s.status, _ = strconv.Atoi(f.Value)
		}
	}
	if !s.begun && s.rule != nil {
		s.rule.counts.matched.Add(1)
	}
	s.begun = true
	s.answered = s.status < 100 || s.status >= 200
	s.up.keep, s.up.kept = false, nil
}

// canRepeat reports whether the request can be sent to the app after a laptop had it; unprocessed: the laptop's program
// surely has not looked at it.
func (s *h2stream) canRepeat(unprocessed bool) bool {
	return s.rule != nil && !s.begun && s.up.keep && (unprocessed || slices.Contains(idempotent, s.method))
}

// toApp sends a request to the app that a laptop lost. The lock is held.
func (h *h2conn) toApp(s *h2stream, reason string) {
	s.rule.counts.fallenBack.Add(1)
	h.caller.proxy.decided(s.rule, s.started, s.method, s.path, toApp, reason, 0)
	s.reported, s.rule = true, nil
	h.again(s, h.appPeer(), s.head)
}

// again sends a request once more, with this head. The lock is held.
func (h *h2conn) again(s *h2stream, p *h2peer, head []hpack.HeaderField) {
	old := s.up
	if old.id != 0 {
		delete(old.peer.halves, old.id)
	}
	old.closed = true
	s.up = &h2half{stream: s, peer: p, first: head, heads: [][]hpack.HeaderField{head}, end: s.down.gotEnd, tail: s.tail, other: s.down, keep: p.rule != nil}
	s.up.data = append(old.kept, old.data...)
	s.up.paid = len(old.kept) + old.paid
	s.down.other = s.up
	s.up.peer.await(s.up)
	s.up.peer.flush()
}

// refuse answers for a laptop that can't, when nobody else can be asked any more. The lock is held.
func (h *h2conn) refuse(s *h2stream) {
	const text = "fairlead: the program on the laptop closed the connection without an answer; the request may not be sent again"
	s.rule.counts.matched.Add(1)
	s.begun, s.answered = true, true
	s.up.drop()
	if s.grpc {
		s.status = 200
		s.down.heads = append(s.down.heads, []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"},
			{Name: "grpc-status", Value: "14"}, {Name: "grpc-message", Value: text}}) // 14: UNAVAILABLE
	} else {
		s.status = 502
		s.down.heads = append(s.down.heads, []hpack.HeaderField{{Name: ":status", Value: "502"}, {Name: "content-type", Value: "text/plain; charset=utf-8"}})
		if s.method != "HEAD" {
			s.down.data = []byte(text + "\n")
			s.down.paid = len(s.down.data)
		}
	}
	s.down.end = true
	if !s.down.gotEnd {
		code := h2NoError // no more of the request is wanted: RFC 9113, section 8.1
		s.resetAfter = &code
	}
	h.down.await(s.down)
}

// report tells what became of a request that a rule took.
func (s *h2stream) report(h *h2conn) {
	if s.rule == nil || s.reported {
		return
	}
	s.reported = true
	reason := ""
	if !s.begun {
		reason = "the caller did not wait for the answer"
		s.rule.counts.matched.Add(1)
	}
	h.caller.proxy.decided(s.rule, s.started, s.method, s.path, toLaptop, reason, s.status)
}
