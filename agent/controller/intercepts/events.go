// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

const (
	// eventSource is who events say they are from.
	eventSource = "fairlead-gateway"
	// maxNote bounds what an event says, in bytes (events.k8s.io/v1, Event.note).
	maxNote = 1024
)

// event is what people who look at an Intercept are told of a change of its phase.
type event struct {
	kind   string // Normal or Warning
	reason string // the phase
	note   string
}

// eventOf returns what a change of the phase is worth telling; false for nothing.
func eventOf(intercept *v1alpha1.Intercept, now v1alpha1.InterceptStatus) (event, bool) {
	if now.Phase == intercept.Status.Phase {
		return event{}, false
	}
	e := event{kind: corev1.EventTypeNormal, reason: string(now.Phase), note: now.Message}
	switch now.Phase {
	case v1alpha1.InterceptActive:
		e.note = fmt.Sprintf("%s of %s goes to the laptop of %s: %d of %d ready pods are covered (%s)",
			share(intercept.Spec), intercept.Spec.Workload.Kind+"/"+intercept.Spec.Workload.Name, intercept.Spec.User, now.PodsCovered, now.PodsReady, now.Redirect)
	case v1alpha1.InterceptRefused, v1alpha1.InterceptSuspended:
		e.kind = corev1.EventTypeWarning
	case v1alpha1.InterceptEnded:
		if e.note == "" {
			e.note = "everything is put back"
		}
	default:
		return event{}, false
	}
	if len(e.note) > maxNote {
		e.note = e.note[:maxNote-3] + "…"
	}
	return e, true
}

// share says in words what an intercept takes.
func share(spec v1alpha1.InterceptSpec) string {
	text := "all traffic"
	if spec.Match != nil {
		text = "matching traffic"
	}
	if spec.Mirror {
		text = "a copy of " + text
	}
	return text
}

// tell records an event about an Intercept. It does not wait for the API server.
func (c *Controller) tell(intercept *v1alpha1.Intercept, now v1alpha1.InterceptStatus) {
	if e, ok := eventOf(intercept, now); ok && c.events != nil {
		c.events.Eventf(intercept, nil, e.kind, e.reason, "Intercept", "%s", e.note)
	}
}
