// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// counts of one intercept on one port, since the process began.
type counts struct {
	active    atomic.Bool // the intercept takes something now: it is ordered and not suspended
	suspended atomic.Bool

	matched, passed, fallenBack, unreadable atomic.Int64
}

// maxPathShown bounds the path of a request that is reported, in bytes.
const maxPathShown = 256

// requestLog keeps the latest requests that were decided on. The zero value is ready; it is safe for concurrent use.
type requestLog struct {
	mu   sync.Mutex
	ring []wire.Request
	next int // where the oldest is, once the ring is full
}

func (l *requestLog) add(r wire.Request) {
	if len(r.Path) > maxPathShown {
		r.Path = r.Path[:maxPathShown]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < wire.MaxRequests {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.next] = r
	l.next = (l.next + 1) % len(l.ring)
}

// take returns what has been added since the last call, oldest first.
func (l *requestLog) take() []wire.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) == 0 {
		return nil
	}
	out := make([]wire.Request, 0, len(l.ring))
	out = append(append(out, l.ring[l.next:]...), l.ring[:l.next]...)
	l.ring, l.next = nil, 0
	return out
}

const (
	toLaptop = "laptop"
	toApp    = "app"
	toMirror = "mirror"
)

// decided reports a request or connection that a rule took or lost.
func (p *Proxy) decided(r *rule, at time.Time, method, path, to, reason string, status int) {
	p.log.add(wire.Request{Intercept: r.Intercept, At: at, Method: method, Path: path, Status: status, Duration: time.Since(at), To: to, Reason: reason})
}
