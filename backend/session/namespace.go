// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// switchPatience is how long SwitchNamespace waits for the gateway and the helper to follow.
const switchPatience = 15 * time.Second

// SwitchNamespace changes the namespace whose names resolve without a suffix, in the session that there is, and returns
// when they do. Flows and intercepts stay. When it can't be done, or not in time, the session stays in the namespace in
// which it was. Errors are *problem.Problem.
func (m *Manager) SwitchNamespace(ctx context.Context, namespace string) error {
	present := m.present()
	if present == nil || !isClosed(present.connected) {
		return problem.New(problem.NotConnected, "Connect first: fairlead connect --namespace "+namespace+".", "this laptop is not connected to a cluster")
	}
	return present.switchNamespace(ctx, namespace)
}

// namespace returns where unqualified names are to resolve. It may be called from several goroutines.
func (r *run) namespace() string {
	if switched := r.switched.Load(); switched != nil {
		return *switched
	}
	return r.request.access.Namespace()
}

// switchNamespace makes hold bring gateway and helper to another namespace, and waits for that.
func (r *run) switchNamespace(ctx context.Context, namespace string) error {
	r.switching.Lock() // one after the other
	defer r.switching.Unlock()
	before := r.namespace()
	if namespace == before {
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, r.patience.switching)
	defer cancel()
	if err := r.request.checkNamespace(timed, namespace, r.known.Load()); err != nil {
		return err
	}
	r.log.Info("switching namespace", "from", before, "to", namespace)
	r.switched.Store(&namespace)
	wake(r.turned)
	err := r.awaitNamespace(timed, namespace)
	if err != nil {
		r.switched.Store(&before)
		wake(r.turned)
	}
	return err
}

// awaitNamespace waits until names resolve in a namespace.
func (r *run) awaitNamespace(ctx context.Context, namespace string) error {
	for {
		status, changed, _ := r.board.get()
		if status.State == Connected && status.Namespace == namespace {
			return nil
		}
		select {
		case <-changed:
		case <-r.done:
			return problem.New(problem.NotConnected, "Connect again: fairlead connect --namespace "+namespace+".", "the connection ended before names resolved in namespace %q", namespace)
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return problem.New(problem.Cancelled, "", "switching to namespace %q was interrupted", namespace)
			}
			if status.Problem != nil {
				return status.Problem
			}
			return problem.New(problem.Timeout, "See: fairlead doctor.", "the connection did not switch to namespace %q in time", namespace)
		}
	}
}

// turn announces the namespace that is wanted, if that is another than the gateway was told.
func (l *link) turn() {
	if namespace := l.run.namespace(); l.spec.Namespace != namespace && !l.announcing {
		l.spec.Namespace = namespace
		l.announceAgain()
	}
}
