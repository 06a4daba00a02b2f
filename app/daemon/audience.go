// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"sync"
	"time"
)

// lingerFor is how long is looked after what only watchers need, once the last one has gone: people reload pages.
const lingerFor = 30 * time.Second

// audience runs what only watchers need, while there are any. It is safe for concurrent use.
type audience struct {
	run func(context.Context) // what watchers need; returns when its context is done

	mu       sync.Mutex
	watchers int
	stop     context.CancelFunc // of what runs; nil if nothing does
	linger   *time.Timer
	running  sync.WaitGroup
	closed   bool
}

// enter counts a watcher until the returned function is called, which must be once.
func (a *audience) enter() (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers++
	if a.linger != nil {
		a.linger.Stop()
		a.linger = nil
	}
	if a.stop == nil && !a.closed {
		ctx, cancel := context.WithCancel(context.Background())
		a.stop = cancel
		a.running.Go(func() { a.run(ctx) })
	}
	return a.leave
}

func (a *audience) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers--
	if a.watchers == 0 && !a.closed {
		a.linger = time.AfterFunc(lingerFor, a.empty)
	}
}

// empty ends what runs, unless somebody has come in the meantime.
func (a *audience) empty() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watchers == 0 && a.stop != nil {
		a.stop()
		a.stop, a.linger = nil, nil
	}
}

// close ends what runs, and returns when it has.
func (a *audience) close() {
	a.mu.Lock()
	a.closed = true
	if a.linger != nil {
		a.linger.Stop()
	}
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	a.mu.Unlock()
	a.running.Wait()
}
