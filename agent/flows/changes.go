// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// changes tells of pods about which something changed. A pod is told of once however often it changes before that is
// read, so that nobody waits for the reader.
type changes struct {
	out chan types.UID

	mu    sync.Mutex
	dirty map[types.UID]struct{}
	wake  chan struct{}
}

func newChanges() *changes {
	return &changes{out: make(chan types.UID), dirty: make(map[types.UID]struct{}), wake: make(chan struct{}, 1)}
}

func (c *changes) note(uid types.UID) {
	c.mu.Lock()
	c.dirty[uid] = struct{}{}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends.
func (c *changes) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for {
			uid, ok := c.next()
			if !ok {
				break
			}
			select {
			case <-ctx.Done():
				return
			case c.out <- uid:
			}
		}
	}
}

func (c *changes) next() (types.UID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid := range c.dirty {
		delete(c.dirty, uid)
		return uid, true
	}
	return "", false
}
