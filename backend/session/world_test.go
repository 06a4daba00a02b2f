// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"testing"
	"time"
)

// world is a Manager between a fake helper and a fake cluster.
type world struct {
	helper  *fakeHelper
	cluster *fakeCluster
	manager *Manager
	options Options
}

// soon is how long a test waits for what does not come.
const soon = 300 * time.Millisecond

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{helper: newFakeHelper(), cluster: newFakeCluster(t)}
	w.manager = NewManager(Dependencies{Version: "0.1.0", Helper: w.helper, LaptopID: "laptop"})
	w.manager.patience = patience{
		gateway: time.Minute, silence: time.Minute, answer: time.Minute, switching: time.Minute, // tests of who does not answer have soon
		names: 100 * time.Millisecond, note: 50 * time.Millisecond, farewell: 10 * time.Millisecond,
	}
	w.options = Options{Kubeconfigs: []string{w.cluster.kubeconfig(t)}, Environment: []string{"PATH=/bin"}}
	t.Cleanup(w.manager.Close)
	return w
}

func (w *world) connect(t *testing.T) {
	t.Helper()
	if err := w.manager.Connect(t.Context(), w.options); err != nil {
		t.Fatal(err)
	}
}

// await waits until the status is as wanted.
func (w *world) await(t *testing.T, what string, is func(Status) bool) Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var last Status
	for last = range w.manager.Watch(ctx) {
		if is(last) {
			return last
		}
	}
	t.Fatalf("never %s; last %+v, problem %+v", what, last, last.Problem)
	return last
}

// putBack checks that nothing is left of a session, here or in the cluster.
func (w *world) putBack(t *testing.T) {
	t.Helper()
	w.helper.set(func(h *fakeHelper) {
		if h.up != nil || len(h.conns) > 0 {
			t.Errorf("the helper still has %d connections and tunnel %+v", len(h.conns), h.up)
		}
	})
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if w.cluster.connection != nil {
		t.Errorf("the cluster still has %+v", w.cluster.connection)
	}
	if s := w.manager.Status(); s.State != Disconnected {
		t.Errorf("state is %s", s.State)
	}
}
