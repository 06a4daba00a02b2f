// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"slices"
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
	// answerWithin is how long the cluster may take to hear of leaving before flows are refused.
	answerWithin = 500 * time.Millisecond
	// askAgainFor is how long a cluster that does not answer is asked again to take the wish to leave.
	askAgainFor = 2 * time.Second
	// partingPatience is how long the cluster may take to hear of leaving when the session ends: the end of its Connection
	// tells it as well.
	partingPatience = 1500 * time.Millisecond
	// longestOwed is the longest pause before a cluster that could not be told is told again.
	longestOwed = 15 * time.Second
)

// Leave leaves an intercept of this laptop and returns when everything is put back. The notes say what is worth knowing
// about that. Where the cluster can't be told, flows are refused from now on all the same, so that the app gets them.
// An intercept that is not there is left. Errors are *problem.Problem.
func (m *Manager) Leave(ctx context.Context, id string) (notes []string, err error) {
	return m.leave(ctx, id, leaveTimeout)
}

// leave is Leave for a cluster that has so long to hear of it.
func (m *Manager) leave(ctx context.Context, id string, patience time.Duration) (notes []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	giveUp := time.AfterFunc(patience, cancel)
	defer giveUp.Stop()
	m.mu.Lock()
	h, t := m.held[id], m.tunnel
	if _, ok := m.past[id]; ok && h == nil {
		m.mu.Unlock()
		m.change(func() { delete(m.past, id) })
		return nil, nil
	}
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
	// A cluster that does not answer at once may not do so for long; the app gets the traffic meanwhile.
	late := time.AfterFunc(answerWithin, func() { m.change(func() { h.closed = true }) })
	notes, err = LeaveObject(ctx, t.Access, object, func() {
		late.Stop()
		giveUp.Stop()
	})
	late.Stop()
	if err != nil {
		m.drop(id, "it was left, but the cluster could not be told")
		m.owe(object)
		p := *problem.From(err)
		p.Details = append(slices.Clone(p.Details), "this laptop takes no more of its traffic, so that the app in the cluster gets it; the cluster is told as soon as it answers")
		return nil, &p
	}
	m.drop(id, "it was left")
	return notes, nil
}

// owe leaves an intercept in the background as soon as the cluster answers, while this tunnel lasts; the next one takes it
// up from there (takeUp).
func (m *Manager) owe(o *v1alpha1.Intercept) {
	t, alive, ok := m.now()
	if !ok {
		return
	}
	m.work.Go(func() {
		for pause := resumePause; ; pause = min(2*pause, longestOwed) {
			select {
			case <-time.After(pause):
			case <-alive.Done():
				return
			}
			if _, err := LeaveObject(alive, t.Access, o, nil); err == nil {
				m.log.Info("intercept is left in the cluster, too", "namespace", o.Namespace, "name", o.Name)
				return
			}
		}
	})
}

// LeaveObject asks the gateway to put everything back, waits until it has, and deletes the object; that of another user
// is treated alike, for who has the right. asked, if it is not nil, is called when the cluster has taken the wish. Errors
// are *problem.Problem.
func LeaveObject(ctx context.Context, access *cluster.Access, o *v1alpha1.Intercept, asked func()) (notes []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	patched, err := askToLeave(ctx, access, o)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if asked != nil {
		asked()
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

// askToLeave tells the cluster, and again for a while where that does not answer: when the network has just come back,
// connections of the time before fail at the first use, and systems remember for a moment that they found no neighbour.
func askToLeave(ctx context.Context, access *cluster.Access, o *v1alpha1.Intercept) (*v1alpha1.Intercept, error) {
	leaving := map[string]any{"spec": map[string]any{"leaving": true}}
	for began := time.Now(); ; {
		patched, err := access.PatchIntercept(ctx, o.Namespace, o.Name, leaving)
		if err == nil || isGone(err) || problem.From(err).Code != problem.ClusterUnreachable || time.Since(began) > askAgainFor {
			return patched, err
		}
		select {
		case <-time.After(firstRewatch):
		case <-ctx.Done():
			return nil, err
		}
	}
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
			if _, err := m.leave(ctx, id, partingPatience); err != nil {
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
