// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/backend/cluster"
)

const (
	// farewellTimeout bounds one attempt to take a Connection out of the cluster.
	farewellTimeout = 10 * time.Second
	// longestFarewellPause is the longest wait between two attempts.
	longestFarewellPause = 30 * time.Second
	// longestFarewell is how long is tried: a gateway forgets a laptop that has been silent for as long by itself.
	longestFarewell = time.Hour
)

// OwedNote says in a Status that the gateway could not be told of a disconnect.
const OwedNote = "the cluster could not be told of the disconnect; the gateway will forget this laptop as soon as Fairlead reaches " +
	"the cluster again, and otherwise by itself after an hour"

// farewells take Connections out of clusters that could not be reached when their session ended. Methods are safe for
// concurrent use.
type farewells struct {
	board *board
	log   *slog.Logger

	mu     sync.Mutex
	owed   map[farewell]*farewellUnderWay
	closed bool
}

// farewell names a Connection of a cluster.
type farewell struct{ server, namespace, name string }

type farewellUnderWay struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func newFarewells(b *board, log *slog.Logger) *farewells {
	return &farewells{board: b, log: log, owed: map[farewell]*farewellUnderWay{}}
}

// owe deletes a Connection in the background: after pause, and again after longer ones until that has worked. It
// reports whether it will: not once the farewells are closed.
func (f *farewells) owe(access *cluster.Access, namespace, name string, pause time.Duration) bool {
	key := farewell{access.Server(), namespace, name}
	f.cancel(key)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), longestFarewell)
	underWay := &farewellUnderWay{cancel, make(chan struct{})}
	f.owed[key] = underWay
	go func() {
		defer close(underWay.done)
		defer access.Close()
		defer cancel()
		f.say(ctx, access, key, pause)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.owed[key] == underWay {
			delete(f.owed, key)
		}
	}()
	return true
}

// say tries until it has worked or ctx is done.
func (f *farewells) say(ctx context.Context, access *cluster.Access, key farewell, pause time.Duration) {
	for ; ; pause = min(2*pause, longestFarewellPause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		access.Reset()
		attempt, cancel := context.WithTimeout(ctx, farewellTimeout)
		err := access.DeleteConnection(attempt, key.namespace, key.name)
		cancel()
		if err == nil {
			f.log.Info("connection left behind is deleted", "name", key.name, "server", key.server)
			f.board.update(forgetNote)
			return
		}
		f.log.Debug("connection left behind could not be deleted yet", "name", key.name, "error", err)
	}
}

// forgetNote takes the note of an owed farewell out of a Status.
func forgetNote(s *Status) {
	s.Notes = slices.DeleteFunc(slices.Clone(s.Notes), func(note string) bool { return note == OwedNote })
	if len(s.Notes) == 0 {
		s.Notes = nil
	}
}

// cancel gives up deleting a Connection, because it is wanted again. It returns when nothing is under way any more.
func (f *farewells) cancel(key farewell) {
	f.mu.Lock()
	underWay := f.owed[key]
	delete(f.owed, key)
	f.mu.Unlock()
	if underWay != nil {
		underWay.cancel()
		<-underWay.done
	}
}

// close gives up all, for good.
func (f *farewells) close() {
	f.mu.Lock()
	f.closed = true
	keys := make([]farewell, 0, len(f.owed))
	for key := range f.owed {
		keys = append(keys, key)
	}
	f.mu.Unlock()
	for _, key := range keys {
		f.cancel(key)
	}
}
