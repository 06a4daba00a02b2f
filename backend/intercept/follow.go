// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/session"
)

const (
	// firstRewatch and longestRewatch are the pauses before a watch that failed is begun anew.
	firstRewatch   = 100 * time.Millisecond
	longestRewatch = 3 * time.Second
	// troubleAfter is how long the API server must be silent before that is worth a note.
	troubleAfter = 5 * time.Second
)

// followHeld watches the object of an intercept until ctx is done or it is gone. m.mu is held.
func (m *Manager) followHeld(ctx context.Context, t session.Tunnel, id string) {
	h := m.held[id]
	if h == nil || ctx.Err() != nil {
		return
	}
	if h.follow != nil {
		h.follow()
	}
	following, stop := context.WithCancel(ctx)
	h.follow = stop
	namespace, name := h.object.Namespace, h.object.Name
	m.work.Go(func() {
		defer stop()
		m.follow(following, t, id, namespace, name)
	})
}

func (m *Manager) follow(ctx context.Context, t session.Tunnel, id, namespace, name string) {
	pause := firstRewatch
	lastHeard := time.Now()
	for ctx.Err() == nil {
		began := time.Now()
		err := t.Access.WatchIntercept(ctx, namespace, name, "", func(o *v1alpha1.Intercept) error {
			lastHeard = time.Now()
			if string(o.UID) != id { // another of the same name
				return cluster.ErrInterceptGone
			}
			m.took(ctx, t, o)
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return
		case isGone(err):
			m.lose(id, "it was deleted")
			return
		case errors.Is(err, cluster.ErrWatchEnded):
			lastHeard = time.Now()
		case time.Since(lastHeard) > troubleAfter:
			m.trouble(id, "the API server does not answer; what is said of this intercept may be old")
		}
		if time.Since(began) > longestRewatch {
			pause = firstRewatch
		}
		m.log.Debug("watch of intercept ended", "name", name, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestRewatch)
	}
}

// took takes in an object as the cluster has it now.
func (m *Manager) took(ctx context.Context, t session.Tunnel, o *v1alpha1.Intercept) {
	id := string(o.UID)
	expired := false
	m.change(func() {
		h := m.held[id]
		if h == nil {
			return
		}
		if before := h.object.Status.Phase; before != o.Status.Phase {
			m.log.Info("intercept is "+string(o.Status.Phase), "name", o.Name, "message", o.Status.Message)
		}
		h.object, h.trouble = o, ""
		expired = o.Status.Phase == v1alpha1.InterceptEnded && !h.leaving
	})
	if !expired {
		return
	}
	// The gateway ended it, such as when its time was over; its object is the owner's to delete.
	limited, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := t.Access.DeleteIntercept(limited, o.Namespace, o.Name); err != nil {
		m.log.Info("intercept that has ended could not be deleted", "name", o.Name, "error", err)
	}
	reason := o.Status.Message
	if reason == "" {
		reason = "the gateway has ended it"
	}
	m.lose(id, reason)
}

// lose is drop for an intercept that its owner did not end: it is shown for a while, so that it is not merely gone.
func (m *Manager) lose(id, why string) {
	m.mu.Lock()
	h := m.held[id]
	if h != nil && !h.leaving {
		s := m.describe(h.object)
		s.Phase, s.Message, s.Notes = string(v1alpha1.InterceptEnded), why, nil
		m.past[id] = past{s, time.Now()}
	}
	m.mu.Unlock()
	m.drop(id, why)
}

// drop forgets an intercept that is no more.
func (m *Manager) drop(id, why string) {
	var t *session.Tunnel
	m.change(func() {
		h := m.held[id]
		if h == nil {
			return
		}
		t = m.tunnel
		if h.follow != nil {
			h.follow()
		}
		delete(m.held, id)
		m.ended[id] = why
		m.log.Info("intercept has ended", "namespace", h.object.Namespace, "name", h.object.Name, "why", why)
	})
	if t == nil {
		return
	}
	if err := m.places.forget(*t, id); err != nil {
		m.log.Info("a noted intercept could not be forgotten", "error", err)
	}
}

// trouble notes what is wrong with an intercept as seen from here.
func (m *Manager) trouble(id, text string) {
	m.change(func() {
		if h := m.held[id]; h != nil {
			h.trouble = text
		}
	})
}
