// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
)

// hasPending reports whether at least n answers are awaited.
func (c *caller) hasPending(u *upstream, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(u.pending) >= n && !u.ended
}

// awaitAnswers returns when less than n answers are awaited. It reads on meanwhile, so that a caller who leaves is noticed.
// It reports whether requests can follow.
func (s *session) awaitAnswers(u *upstream, n int) bool {
	for {
		s.mu.Lock()
		if len(u.pending) < n || u.ended || s.raw || s.closing || s.aborted {
			s.waiting = false
			next := !s.closing && !s.aborted
			s.mu.Unlock()
			return next
		}
		s.waiting = true
		eof := s.eof
		s.mu.Unlock()
		if eof || !s.in.room(false) {
			<-s.wake
			continue
		}
		if err := s.read(false); errors.Is(err, io.EOF) && !s.isClosing() && s.in.len() == 0 {
			u.closeWrite() // else what has been read comes first
		}
	}
}

// drain throws away what the caller still sends, until the connection ends.
func (s *session) drain() {
	for {
		s.in.free()
		if s.read(false) != nil {
			return
		}
	}
}

// drainUntil does so until the upstream has ended, too.
func (s *session) drainUntil(u *upstream) {
	s.drain()
	<-u.done
}

// endAndDrain ends the connection after the last answer.
func (s *session) endAndDrain() {
	s.mu.Lock()
	s.endLocked()
	s.mu.Unlock()
	s.drain()
}
