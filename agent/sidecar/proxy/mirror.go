// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// maxMirrored bounds what waits to be copied to a laptop, in bytes.
const maxMirrored = 256 << 10

// mirror copies what one caller sends to a laptop, beside the way to the app and never in it: what can't be copied in time
// ends the copying for this connection.
type mirror struct {
	caller *caller
	rule   *rule
	wake   chan struct{}

	mu     sync.Mutex
	queued []byte
	closed bool
	conn   Conn
}

// openMirrors begins to copy.
func (c *caller) openMirrors(rules []*rule) []*mirror {
	var out []*mirror
	for _, r := range rules {
		out = append(out, c.openMirror(r))
	}
	return out
}

func (c *caller) openMirror(r *rule) *mirror {
	m := &mirror{caller: c, rule: r, wake: make(chan struct{}, 1)}
	go m.run()
	return m
}

// mirrorsOf are the session's mirrors for the rules.
func (s *session) mirrorsOf(rules []*rule) []*mirror {
	if len(rules) == 0 {
		return nil
	}
	if s.mirrors == nil {
		s.mirrors = map[*counts]*mirror{}
	}
	var out []*mirror
	for _, r := range rules {
		m := s.mirrors[r.counts]
		if m == nil {
			m = s.openMirror(r)
			s.mirrors[r.counts] = m
		}
		if m.isOpen() {
			r.counts.matched.Add(1)
			s.proxy.decided(r, time.Now(), string(s.head.Method), string(s.head.Path), toMirror, "", 0)
		} else {
			r.counts.fallenBack.Add(1)
		}
		out = append(out, m)
	}
	return out
}

func (s *session) closeMirrors() {
	for _, m := range s.mirrors {
		m.close()
	}
}

// write queues a copy of b.
func (m *mirror) write(b []byte) {
	m.mu.Lock()
	if !m.closed && len(m.queued)+len(b) > maxMirrored {
		m.closed, m.queued = true, nil
		if m.conn != nil {
			go reset(m.conn)
		}
	}
	if !m.closed {
		m.queued = append(m.queued, b...)
	}
	m.mu.Unlock()
	m.poke()
}

func (m *mirror) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mirror) isOpen() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.closed
}

// close lets what is queued go out.
func (m *mirror) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.poke()
}

// run opens the flow and copies. It throws the laptop's answers away.
func (m *mirror) run() {
	defer m.caller.guard()
	conn, _ := m.caller.open(m.rule, wire.FlowMirror, "", "")
	if conn == nil {
		m.mu.Lock()
		m.closed, m.queued = true, nil
		m.mu.Unlock()
		return
	}
	defer conn.Close()
	m.mu.Lock()
	m.conn = conn
	m.mu.Unlock()
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(io.Discard, conn)
		m.mu.Lock()
		m.closed, m.queued = true, nil
		m.mu.Unlock()
		m.poke()
	}()
	var batch []byte
	for {
		m.mu.Lock()
		batch, m.queued = m.queued, batch[:0]
		closed := m.closed
		m.mu.Unlock()
		if len(batch) == 0 {
			if closed {
				_ = conn.CloseWrite()
				_ = conn.SetReadDeadline(time.Now().Add(lingerTime))
				<-answers // closing with unread answers would reset what is still on its way
				return
			}
			<-m.wake
			continue
		}
		if _, err := conn.Write(batch); err != nil {
			m.mu.Lock()
			m.closed, m.queued = true, nil
			m.mu.Unlock()
			return
		}
	}
}
