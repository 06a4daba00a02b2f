// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"slices"

	"golang.org/x/net/http2/hpack"
)

// headers takes a header block from a peer.
func (h *h2conn) headers(p *h2peer, id uint32, fields []hpack.HeaderField, end bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	half := p.halves[id]
	if half == nil {
		if p != h.down || id <= h.lastID {
			return nil // of a stream that has ended
		}
		if id%2 == 0 {
			return h2Protocol
		}
		h.lastID = id
		if !h.final {
			h.open(id, fields, end)
		}
		if h.owing {
			h.notify()
		}
		return h.down.bound()
	}
	s := half.stream
	if half.gotEnd {
		h.drop(s, h2StreamClosed)
		return nil
	}
	if half.mirror {
		h.handOn(half, nil, end)
		return nil
	}
	to := append([]*h2half{half.other}, s.copies(half)...)
	if p == h.down || s.answered {
		if !end {
			h.drop(s, h2Protocol)
			return nil
		}
		if p == h.down {
			s.tail = fields
		}
		for _, other := range to {
			other.tail = fields
		}
	} else {
		s.noteAnswer(fields)
		half.other.heads = append(half.other.heads, fields)
	}
	h.handOn(half, to, end)
	return h.down.bound()
}

// data takes data from a peer; padding counts for the windows only.
func (h *h2conn) data(p *h2peer, id uint32, content []byte, padding int, end bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.held += len(content) + padding; p.held > h2ConnWindow {
		return h2FlowControl
	}
	half := p.halves[id]
	if half == nil || half.gotEnd {
		p.creditConn(len(content) + padding)
		return nil
	}
	if padding > 0 {
		half.credited(padding)
	}
	if half.other == nil || half.other.closed {
		half.credited(len(content))
	} else if len(content) > 0 {
		half.other.data = append(half.other.data, content...)
	}
	copies := half.stream.copies(half)
	for _, m := range copies {
		if len(m.data)+len(content) > maxMirrored {
			h.closeHalf(m, h2Cancel)
			continue
		}
		m.data = append(m.data, content...)
	}
	h.handOn(half, append([]*h2half{half.other}, copies...), end)
	return nil
}

// handOn has halves send what they were given, after which the source may have ended.
func (h *h2conn) handOn(half *h2half, to []*h2half, end bool) {
	if end {
		half.gotEnd = true
	}
	for _, other := range to {
		if other == nil || other.closed {
			continue
		}
		other.end = other.end || end
		other.peer.await(other)
		other.peer.flush()
	}
	if end {
		h.settle(half)
		half.peer.flush() // a stream may be opened in its place
	}
}

// settle closes a half when both its directions have ended.
func (h *h2conn) settle(half *h2half) {
	if half.closed || !half.gotEnd || !half.sentEnd {
		return
	}
	half.closed = true
	p := half.peer
	delete(p.halves, half.id)
	s := half.stream
	if half == s.down {
		h.ended(s)
		return
	}
	h.retire(p)
}

// retire closes a connection that takes no new streams when its last has ended.
func (h *h2conn) retire(p *h2peer) {
	if p == h.down || !p.goneAway || p.last || len(p.halves) > 0 {
		return
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(half *h2half) bool { return half.closed })
	if len(p.waiting) == 0 {
		p.last = true
		p.poke()
	}
}

// ended notes that a stream is complete.
func (h *h2conn) ended(s *h2stream) {
	if _, ok := h.streams[s]; !ok {
		return
	}
	delete(h.streams, s)
	s.report(h)
	h.leaveWhenIdle()
}

func (h *h2conn) leaveWhenIdle() {
	if h.final && len(h.streams) == 0 && !h.down.last {
		h.down.last = true
		h.down.poke()
	}
}
