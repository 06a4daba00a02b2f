// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// endTimeout is how long an intercept that ends waits for sidecars to confirm. Those that don't are not heard, and do nothing for
// it any more: flows without an order are refused.
const endTimeout = 2 * time.Second

// ended reports whether everything that a claim changed is put back.
func (m *memory) ended(w *world, c *claim) bool {
	known := m.intercept(c.intercept.UID, w.now)
	if known.endedAt.IsZero() {
		known.endedAt = w.now
	}
	done := w.now.Sub(known.endedAt) > endTimeout || c.confirmedGone(w, m)
	if c.intercept.Status.Phase == v1alpha1.InterceptEnded {
		done = true
	}
	if done && known.doneAt.IsZero() {
		known.doneAt = w.now
	}
	return done
}

// confirmedGone reports whether no sidecar works for a claim any more, and no Service leads to sidecars because of it.
func (c *claim) confirmedGone(w *world, m *memory) bool {
	for _, member := range c.members {
		state := w.state(member.pod.UID)
		if m.pods[member.pod.UID] != nil && state.Connected && state.Report.Revision != state.Revision {
			return false
		}
	}
	for i := range w.services {
		service := &w.services[i]
		record, _ := restore.Read(service)
		if record == nil || m.service(service.Name).wanted {
			continue
		}
		if slices.ContainsFunc(w.selected(service), func(pod *corev1.Pod) bool { return holdsPod(c.members, pod) }) {
			return false
		}
	}
	return true
}
