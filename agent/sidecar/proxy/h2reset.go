// SPDX-License-Identifier: Apache-2.0

package proxy

// closeHalf ends a half with a reset, if its peer knows of it.
func (h *h2conn) closeHalf(half *h2half, code h2Code) {
	if half == nil || half.closed {
		return
	}
	half.closed = true
	half.drop()
	p := half.peer
	if half.id != 0 {
		delete(p.halves, half.id)
		if !p.ended && !(half.gotEnd && half.sentEnd) {
			p.out = appendReset(p.out, half.id, code)
			p.poke()
		}
	}
	if p != h.down {
		h.retire(p)
		p.flush()
	}
}

// drop ends a stream on all sides with a reset.
func (h *h2conn) drop(s *h2stream, code h2Code) {
	for _, half := range append([]*h2half{s.up, s.down}, s.mirrors...) {
		h.closeHalf(half, code)
	}
	h.ended(s)
}

// resetStream takes a RST_STREAM.
func (h *h2conn) resetStream(p *h2peer, id uint32, code h2Code) {
	h.mu.Lock()
	defer h.mu.Unlock()
	half := p.halves[id]
	if half == nil {
		return
	}
	s := half.stream
	delete(p.halves, id)
	half.closed = true // nothing more is said about it to this peer
	if again := code == h2Refused && half == s.up && s.canRepeat(true); again && !s.retried && !p.goneAway {
		s.retried = true // more at once than it takes; that is known by now
		h.again(s, p, s.up.first)
	} else if again {
		h.toApp(s, "the laptop's program refused the request")
	} else {
		half.drop()
		h.wasReset(half, code)
	}
	if p != h.down {
		h.retire(p)
		p.flush()
	}
}

// wasReset tells the other end.
func (h *h2conn) wasReset(half *h2half, code h2Code) {
	s := half.stream
	if half.mirror {
		return
	}
	if half == s.up {
		h.down.flush()
		if half.gotEnd && s.down.hasMore() { // the answer is complete, but not sent on
			s.resetAfter = &code
			return
		}
	}
	h.drop(s, code)
}
