// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"golang.org/x/net/http2/hpack"
)

// await notes that a half has something to send.
func (p *h2peer) await(half *h2half) {
	if !half.queued {
		half.queued = true
		p.waiting = append(p.waiting, half)
	}
}

// flush queues for the writer what can be sent: whole heads, and data in turns, as much as the windows and the bound let.
func (p *h2peer) flush() {
	if !p.ready || p.ended {
		return
	}
	for progress := true; progress; {
		progress = false
		list := p.waiting
		p.waiting = nil
		for _, half := range list {
			half.queued = false
			if half.closed || half.peer != p {
				continue
			}
			more := p.sendSome(half)
			progress = progress || more
			if half.hasMore() {
				p.await(half)
			}
		}
	}
	if len(p.out) > 0 {
		p.poke()
	}
}

// sendSome queues the next of what a half has to send. It reports whether there was something.
func (p *h2peer) sendSome(half *h2half) (sent bool) {
	if half.id == 0 {
		if uint32(len(p.halves)) >= p.streams || p.goneAway {
			return false
		}
		half.id, half.window = p.next, p.initial
		p.next += 2
		p.halves[half.id] = half
	}
	for len(half.heads) > 0 {
		end := half.end && len(half.heads) == 1 && len(half.data) == 0 && half.tail == nil
		fields := half.heads[0]
		half.heads = half.heads[1:]
		p.sendHeaders(half, fields, end)
		sent = true
	}
	if n := min(int64(len(half.data)), half.window, p.window, int64(p.maxFrame)); n > 0 && len(p.out) < h2OutData {
		end := half.end && half.tail == nil && int(n) == len(half.data)
		flags := uint8(0)
		if end {
			flags = flagEndStream
		}
		p.out = appendFrame(p.out, frameData, flags, half.id, half.data[:n])
		half.spent(int(n))
		half.window -= n
		p.window -= n
		if end {
			p.sentEnd(half)
		}
		return true
	}
	if len(half.data) > 0 || half.sentEnd {
		return sent
	}
	switch {
	case half.tail != nil:
		fields := half.tail
		half.tail = nil
		p.sendHeaders(half, fields, true)
		return true
	case half.end:
		p.out = appendFrame(p.out, frameData, flagEndStream, half.id, nil)
		p.sentEnd(half)
		return true
	}
	return sent
}

func (p *h2peer) sendHeaders(half *h2half, fields []hpack.HeaderField, end bool) {
	p.encoded.Reset()
	for _, f := range fields {
		_ = p.encoder.WriteField(f)
	}
	p.out = appendHeaders(p.out, half.id, end, p.encoded.Bytes(), p.maxFrame)
	if end {
		p.sentEnd(half)
	}
}

func (p *h2peer) sentEnd(half *h2half) {
	half.sentEnd = true
	if s := half.stream; half == s.down && s.resetAfter != nil && !half.gotEnd {
		p.h.drop(s, *s.resetAfter)
		return
	}
	p.h.settle(half)
}

// write sends what is queued until the connection ends.
func (p *h2peer) write() {
	h := p.h
	defer h.caller.guard()
	var spare []byte
	for {
		h.mu.Lock()
		for len(p.out) == 0 && !p.ended && !p.last {
			h.mu.Unlock()
			<-p.wake
			h.mu.Lock()
		}
		if p.ended || len(p.out) == 0 {
			closing := p.last && !p.ended
			h.mu.Unlock()
			if closing {
				h.closeGently(p)
			}
			return
		}
		batch, credits := p.out, p.credits
		p.out, p.credits = spare[:0], nil
		h.mu.Unlock()
		_, err := p.conn.Write(batch)
		if spare = batch[:0]; cap(spare) > 2*h2OutData {
			spare = nil
		}
		if !p.written(credits, err) {
			return
		}
	}
}

// written notes that a batch has been sent, or why not.
func (p *h2peer) written(credits []h2credit, err error) bool {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	for _, c := range credits {
		c.from.credited(c.n)
	}
	if err != nil {
		p.h.gone(p, err, false)
		return false
	}
	p.flush()
	return true
}
