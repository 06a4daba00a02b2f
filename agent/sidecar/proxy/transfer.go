// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"time"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// transfer is a request on its way.
type transfer struct {
	to      *upstream
	body    http1.Body
	mirrors []*mirror
	kept    *[]byte // what was sent, for as long as it is little enough; nil: it can't be sent again
}

// write sends bytes and gives copies to the mirrors. It reports false if the other end is gone.
func (t *transfer) write(b []byte) bool {
	for _, m := range t.mirrors {
		m.write(b)
	}
	_, err := t.to.conn.Write(b)
	return err == nil
}

// keep keeps a copy of bytes of the body.
func (t *transfer) keep(b []byte) {
	if t.kept == nil {
		return
	}
	if len(*t.kept)+len(b) > maxKept {
		t.kept = nil
		return
	}
	*t.kept = append(*t.kept, b...)
}

// send sends the request whose head is the first size bytes of the buffer, with another head if there is one.
func (s *session) send(t *transfer, head []byte, size int) outcome {
	b := s.in.bytes()
	n, _, err := t.body.Take(b[size:])
	t.keep(b[size : size+n])
	var ok bool
	if head == nil {
		ok = t.write(b[:size+n])
	} else {
		ok = t.write(head) && (n == 0 || t.write(b[size:size+n]))
	}
	s.in.consume(size + n)
	switch {
	case err != nil:
		return unreadable
	case !ok:
		return upstreamGone
	}
	return s.sendRest(t)
}

// sendRest sends the rest of the body, as it comes.
func (s *session) sendRest(t *transfer) outcome {
	for !t.body.Finished() {
		if s.in.len() == 0 {
			if n := t.body.Bulk(); n >= spliceFrom && s.tcp != nil && t.to.tcp != nil && len(t.mirrors) == 0 && t.kept == nil {
				if result := s.splice(t, n); result != sent {
					return result
				}
				continue
			}
			if s.read(t.body.Bulk() > smallBuffer || t.body.IsChunked()) != nil {
				return callerEnded
			}
			if s.isClosing() {
				return upstreamGone
			}
		}
		b := s.in.bytes()
		n, _, err := t.body.Take(b)
		if n > 0 {
			t.keep(b[:n])
			ok := t.write(b[:n])
			s.in.consume(n)
			if !ok {
				return upstreamGone
			}
		}
		if err != nil {
			return unreadable
		}
	}
	s.in.shrink()
	return sent
}

// splice moves n bytes of the body within the kernel.
func (s *session) splice(t *transfer, n int64) outcome {
	s.in.free()
	s.long.Store(true)
	moved, err := move(t.to.tcp, s.tcp, n)
	t.body.Skip(moved)
	switch {
	case err == nil:
		return sent
	case errors.Is(err, io.EOF):
		s.noteEnd(io.EOF)
		return callerEnded
	case isDeadline(err):
		if s.isClosing() {
			return upstreamGone
		}
		s.setDeadline(time.Time{})
		return sent
	}
	// Which of the two ends failed shows when the caller is read again.
	return upstreamGone
}
