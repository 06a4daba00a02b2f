// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// checkSwitched checks that names resolve in a namespace, and that it is the session and the tunnel of before.
func (w *world) checkSwitched(t *testing.T, namespace string) {
	t.Helper()
	if s := w.manager.Status(); s.State != Connected || s.Namespace != namespace {
		t.Errorf("status says %s in %s", s.State, s.Namespace)
	}
	w.cluster.mu.Lock()
	if got := w.cluster.connection.Spec.Namespace; got != namespace {
		t.Errorf("the gateway was told %s", got)
	}
	w.cluster.mu.Unlock()
	w.helper.set(func(h *fakeHelper) {
		if h.up.DNS.Namespace != namespace || h.started != 1 || len(h.ups) != 1 || h.downs != 0 {
			t.Errorf("the helper resolves in %s after %d sessions, %d tunnels, %d down", h.up.DNS.Namespace, h.started, len(h.ups), h.downs)
		}
		for _, u := range h.updates {
			if u.Peer != nil || u.Routes != nil || u.Addresses != nil {
				t.Errorf("more was changed than names: %+v", u)
			}
		}
	})
}

func TestSwitchNamespace(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	if err := w.manager.SwitchNamespace(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	w.checkSwitched(t, "default")
	if err := w.manager.SwitchNamespace(t.Context(), "default"); err != nil {
		t.Errorf("once more: %v", err)
	}
	w.options.Namespace = "shop" // as the command line does it
	w.connect(t)
	w.checkSwitched(t, "shop")
}

func TestSwitchNamespaceFailsClearly(t *testing.T) {
	denied := &api.Error{Code: api.CodeSystem, Message: "the resolver says no"}
	for name, test := range map[string]struct {
		prepare   func(*world)
		patience  time.Duration
		namespace string
		want      problem.Code
		text      string
	}{
		"no such namespace":   {func(*world) {}, time.Minute, "nowhere", problem.NamespaceNotFound, "nowhere"},
		"cluster unreachable": {func(w *world) { w.cluster.set(func(c *fakeCluster) { c.broken = http.StatusServiceUnavailable }) }, time.Minute, "default", problem.ClusterUnreachable, ""},
		"gateway silent":      {func(w *world) { w.cluster.set(func(c *fakeCluster) { c.silent = true }) }, soon, "default", problem.Timeout, "in time"},
		"helper refuses":      {func(w *world) { w.helper.set(func(h *fakeHelper) { h.refuse[api.VerbUpdate] = denied }) }, 3 * time.Second, "default", problem.HelperFailed, "resolver"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.manager.patience.switching = test.patience
			w.connect(t)
			test.prepare(w)
			p := problem.From(w.manager.SwitchNamespace(t.Context(), test.namespace))
			if p == nil || p.Code != test.want || !strings.Contains(p.Message, test.text) || p.Hint == "" {
				t.Fatalf("got %+v", p)
			}
			w.cluster.set(func(c *fakeCluster) { c.broken, c.silent = 0, false })
			w.helper.set(func(h *fakeHelper) { delete(h.refuse, api.VerbUpdate) })
			w.await(t, "back in its namespace", func(s Status) bool {
				w.cluster.mu.Lock()
				defer w.cluster.mu.Unlock()
				return s.State == Connected && s.Namespace == "shop" && w.cluster.connection.Spec.Namespace == "shop"
			})
		})
	}
}

func TestSwitchNamespaceNeedsAConnection(t *testing.T) {
	w := newWorld(t)
	if err := w.manager.SwitchNamespace(t.Context(), "default"); !errors.Is(err, problem.New(problem.NotConnected, "", "")) {
		t.Errorf("got %v", err)
	}
	w.cluster.silent = true
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- w.manager.Connect(ctx, w.options) }()
	w.await(t, "announced", func(s Status) bool { return s.Step == "waiting for the gateway" })
	if err := w.manager.SwitchNamespace(t.Context(), "default"); !errors.Is(err, problem.New(problem.NotConnected, "", "")) {
		t.Errorf("while connecting: %v", err)
	}
	cancel()
	<-result
}

func TestTheNamespaceOutlivesTheHelper(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	if err := w.manager.SwitchNamespace(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	w.helper.die()
	w.await(t, "connected anew", func(s Status) bool {
		started := 0
		w.helper.set(func(h *fakeHelper) { started = h.started })
		return s.State == Connected && started == 2
	})
	if s := w.manager.Status(); s.Namespace != "default" {
		t.Errorf("in %s", s.Namespace)
	}
}
