// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// fakeHooks notes what a session tells.
type fakeHooks struct {
	mu      sync.Mutex
	heard   []string
	tunnels chan Tunnel
	leave   func()
}

func (h *fakeHooks) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, fmt.Sprintf(format, args...))
}

func (h *fakeHooks) TunnelUp(t Tunnel) { h.note("up"); h.tunnels <- t }
func (h *fakeHooks) TunnelDown()       { h.note("down") }
func (h *fakeHooks) Ended()            { h.note("ended") }
func (h *fakeHooks) Leave(context.Context) {
	h.note("leave")
	if h.leave != nil {
		h.leave()
	}
}

func newHookedWorld(t *testing.T) (*world, *fakeHooks) {
	w := newWorld(t)
	h := &fakeHooks{tunnels: make(chan Tunnel, 8)}
	w.manager.deps.Hooks = h
	return w, h
}

func TestHooksHearOfATunnelAndItsEnd(t *testing.T) {
	w, h := newHookedWorld(t)
	w.connect(t)
	tunnel := <-h.tunnels
	if tunnel.User != "jo" || "fairlead/"+tunnel.Connection != w.manager.Status().Connection || tunnel.GatewayNamespace != "fairlead" ||
		!slices.Equal(tunnel.Addresses, w.helper.ups[0].Addresses) || !slices.Equal(tunnel.Gateway, w.helper.ups[0].Peer.Addresses) {
		t.Errorf("got %+v", tunnel)
	}
	upWhileLeaving := false
	h.leave = func() {
		w.helper.set(func(f *fakeHelper) { upWhileLeaving = f.up != nil })
		w.cluster.mu.Lock()
		defer w.cluster.mu.Unlock()
		upWhileLeaving = upWhileLeaving && w.cluster.connection != nil
	}
	if err := w.manager.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.putBack(t)
	if !upWhileLeaving {
		t.Error("tunnel or connection was gone before the hooks had left")
	}
	if want := []string{"up", "leave", "down", "ended"}; !slices.Equal(h.heard, want) {
		t.Errorf("heard %v, want %v", h.heard, want)
	}
}

func TestPortsStayOpenForTheNextTunnel(t *testing.T) {
	w, h := newHookedWorld(t)
	w.connect(t)
	if err := (<-h.tunnels).OpenPorts(t.Context(), []uint16{40001}); err != nil {
		t.Fatal(err)
	}
	w.helper.set(func(f *fakeHelper) {
		last := f.updates[len(f.updates)-1]
		if last.InboundPorts == nil || !slices.Equal(*last.InboundPorts, []uint16{40001}) {
			t.Errorf("the helper got %+v", last)
		}
	})
	w.helper.die()
	<-h.tunnels
	w.await(t, "connected again", func(s Status) bool { return s.State == Connected })
	w.helper.set(func(f *fakeHelper) {
		if up := f.ups[len(f.ups)-1]; !slices.Equal(up.InboundPorts, []uint16{40001}) {
			t.Errorf("the next tunnel has the ports %v", up.InboundPorts)
		}
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if want := []string{"up", "down", "up"}; !slices.Equal(h.heard, want) {
		t.Errorf("heard %v, want %v", h.heard, want)
	}
}

func TestNoInterceptIsActiveWhileNothingGetsThrough(t *testing.T) {
	w, h := newHookedWorld(t)
	w.connect(t)
	active := Intercept{Name: "api-1", Phase: string(v1alpha1.InterceptActive)}
	(<-h.tunnels).Show([]Intercept{active})
	w.await(t, "shown", func(s Status) bool { return len(s.Intercepts) == 1 && s.Intercepts[0].Phase == "Active" })
	w.helper.set(func(f *fakeHelper) { f.absent = true })
	w.helper.die()
	s := w.await(t, "reconnecting", func(s Status) bool { return s.State == Reconnecting })
	if s.Intercepts[0].Phase != "Suspended" || s.Intercepts[0].Message == "" {
		t.Errorf("got %+v", s.Intercepts)
	}
	w.helper.set(func(f *fakeHelper) { f.absent = false })
	w.await(t, "active again", func(s Status) bool { return s.State == Connected && s.Intercepts[0].Phase == "Active" })
}

func TestWhoNeverHadATunnelIsToldNothing(t *testing.T) {
	w, h := newHookedWorld(t)
	w.helper.absent = true
	if err := w.manager.Connect(t.Context(), w.options); err == nil {
		t.Fatal(errors.New("connected without a helper"))
	}
	if len(h.heard) != 0 {
		t.Errorf("heard %v", h.heard)
	}
}
