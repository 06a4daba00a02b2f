// SPDX-License-Identifier: Apache-2.0

package session

import (
	"net/http"
	"slices"
	"testing"
)

func TestTheGatewayIsToldOfADisconnectOnceTheClusterIsBack(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) { c.broken = http.StatusServiceUnavailable })
	if err := w.manager.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.manager.Status(); s.State != Disconnected || !slices.Equal(s.Notes, []string{OwedNote}) {
		t.Errorf("got %s with notes %q", s.State, s.Notes)
	}
	w.cluster.set(func(c *fakeCluster) { c.broken = 0 })
	w.await(t, "told", func(s Status) bool { return len(s.Notes) == 0 })
	w.putBack(t)
}

func TestAReconnectKeepsTheConnectionThatWasToBeDeleted(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) { c.broken = http.StatusServiceUnavailable })
	if err := w.manager.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.manager.farewells.mu.Lock()
	owed := len(w.manager.farewells.owed)
	w.manager.farewells.mu.Unlock()
	if owed != 1 {
		t.Errorf("%d connections are to be deleted, want 1", owed)
	}
	w.cluster.set(func(c *fakeCluster) { c.broken = 0 })
	w.connect(t)
	w.manager.farewells.mu.Lock()
	owed = len(w.manager.farewells.owed)
	w.manager.farewells.mu.Unlock()
	if s := w.manager.Status(); owed != 0 || s.State != Connected || len(s.Notes) != 0 {
		t.Errorf("%d connections are to be deleted while %s, notes %q", owed, s.State, s.Notes)
	}
}

func TestNobodyIsToldAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) { c.broken = http.StatusServiceUnavailable })
	w.manager.Close()
	if s := w.manager.Status(); s.State != Disconnected || len(s.Notes) != 0 {
		t.Errorf("got %s with notes %q", s.State, s.Notes)
	}
}
