// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

const (
	// endedWithin is how long the gateway may take to put everything back.
	endedWithin = 3 * time.Second
	// leaveTimeout bounds leaving one intercept.
	leaveTimeout = endedWithin + 2*time.Second
)

// Leave leaves an intercept of this laptop and returns when everything is put back. The notes say what is worth knowing
// about that. Where the cluster can't be told, flows are refused from now on all the same, so that the app gets them.
// An intercept that is not there is left. Errors are *problem.Problem.
func (m *Manager) Leave(ctx context.Context, id string) (notes []string, err error) {
	m.mu.Lock()
	h, t := m.held[id], m.tunnel
	if h == nil || t == nil {
		m.mu.Unlock()
		return nil, nil
	}
	object := h.object
	m.mu.Unlock()
	m.change(func() {
		h.leaving = true
		m.left[id] = true
	})
	notes, err = LeaveObject(ctx, t.Access, object)
	if err != nil {
		m.change(func() { h.closed = true })
		p := *problem.From(err)
		p.Details = append(p.Details, "this laptop takes no more of its traffic, so that the app in the cluster gets it")
		m.drop(id, "it was left, but the cluster could not be told")
		return nil, &p
	}
	m.drop(id, "it was left")
	return notes, nil
}

// LeaveObject asks the gateway to put everything back, waits until it has, and deletes the object; that of another user
// is deleted at once, for who has the right. Errors are *problem.Problem.
func LeaveObject(ctx context.Context, access *cluster.Access, o *v1alpha1.Intercept) (notes []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	patched, err := access.PatchIntercept(ctx, o.Namespace, o.Name, map[string]any{"spec": map[string]any{"leaving": true}})
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, ended := awaitEnded(ctx, access, patched)
	if last != nil {
		notes = append(notes, last.Status.Notes...)
	}
	if !ended {
		notes = append(notes, "the gateway has not confirmed that everything is put back; it does so by itself as soon as it can")
	}
	if err := access.DeleteIntercept(ctx, o.Namespace, o.Name); err != nil {
		return notes, err
	}
	return notes, nil
}

// awaitEnded waits until the gateway says that an intercept has ended, or the object is gone, but not for long.
func awaitEnded(ctx context.Context, access *cluster.Access, o *v1alpha1.Intercept) (last *v1alpha1.Intercept, ended bool) {
	if o.Status.Phase == v1alpha1.InterceptEnded {
		return o, true
	}
	ctx, cancel := context.WithTimeout(ctx, endedWithin)
	defer cancel()
	since := o.ResourceVersion
	for ctx.Err() == nil {
		err := access.WatchIntercept(ctx, o.Namespace, o.Name, since, func(now *v1alpha1.Intercept) error {
			last = now
			if now.UID != o.UID || now.Status.Phase == v1alpha1.InterceptEnded {
				return errEnded
			}
			return nil
		})
		if errors.Is(err, errEnded) || isGone(err) {
			return last, true
		}
		since = ""
		select {
		case <-time.After(firstRewatch):
		case <-ctx.Done():
		}
	}
	return last, false
}

// errEnded ends a watch that has seen what it was for.
var errEnded = errors.New("the intercept has ended")

// LeaveAll leaves all intercepts of this laptop at the same time.
func (m *Manager) LeaveAll(ctx context.Context) {
	m.mu.Lock()
	var ids []string
	for id := range m.held {
		ids = append(ids, id)
	}
	m.mu.Unlock()
	var wait sync.WaitGroup
	for _, id := range ids {
		wait.Go(func() {
			if _, err := m.Leave(ctx, id); err != nil {
				m.log.Info("intercept could not be left in order", "error", err)
			}
		})
	}
	wait.Wait()
}

// Hooks are the Manager's ears in a session.
func (m *Manager) Hooks() session.Hooks { return hooks{m} }

type hooks struct{ *Manager }

// Leave implements session.Hooks.
func (h hooks) Leave(ctx context.Context) { h.LeaveAll(ctx) }
