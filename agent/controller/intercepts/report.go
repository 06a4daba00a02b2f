// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

const (
	// LocalAnnotation of an Intercept says where on the laptop each port goes, as a map from 8080/TCP to 127.0.0.1:3000.
	LocalAnnotation = "fairlead.dev/local"

	// maxPods is how many pods a status names.
	maxPods = 100

	// spreadsWithin is how long the nodes' kube-proxies may take to follow a change of a Service (their minSyncPeriod).
	spreadsWithin = time.Second
)

// report returns what an Intercept's status is to say.
func report(w *world, m *memory, c *claim) v1alpha1.InterceptStatus {
	known := m.intercept(c.intercept.UID, w.now)
	before := c.intercept.Status
	status := v1alpha1.InterceptStatus{
		Phase: before.Phase, Message: c.message, ObservedGeneration: c.intercept.Generation, Since: before.Since,
		Expires: &metav1.Time{Time: c.expires.Truncate(time.Second)}, Redirect: way(c.mode), RedirectReason: c.reason,
	}
	if !c.silentSince.IsZero() {
		status.SilentSince = &metav1.Time{Time: c.silentSince.Truncate(time.Second)}
	}
	counts := known.tally.sum(w, m, c, before.Counts)
	status.Counts = v1alpha1.InterceptCounts{Matched: counts.Matched, Passed: counts.Passed, FallenBack: counts.FallenBack, Unreadable: counts.Unreadable}
	switch c.fate {
	case refused:
		status.Phase, status.Redirect, status.RedirectReason = v1alpha1.InterceptRefused, "", ""
		return status
	case ends:
		status.Redirect, status.RedirectReason = before.Redirect, before.RedirectReason
		if m.ended(w, c) {
			status.Phase = v1alpha1.InterceptEnded
		}
		if slices.Contains(before.Notes, recordNote) { // the one thing that stays
			status.Notes = []string{recordNote}
		}
		return status
	}
	pods := inspect(w, m, c)
	status.Local = locals(w, c, known, pods)
	status.Notes = notes(w, c, status, pods)
	for _, p := range pods {
		if p.member.ready {
			status.PodsReady++
		}
		if p.member.ready && p.covered {
			status.PodsCovered++
		}
		if len(status.Pods) < maxPods {
			status.Pods = append(status.Pods, v1alpha1.InterceptPod{
				Name: p.member.pod.Name, Covered: p.covered, Message: p.message, Bypassing: int32(p.bypassing), Container: p.container,
			})
		}
	}
	missing := m.missing(w, c, pods)
	switch {
	case c.suspended:
		status.Phase = v1alpha1.InterceptSuspended
		status.Message = fmt.Sprintf("the laptop has not been heard since %s; everything goes to the app meanwhile", clock(c.silentSince, w.now))
	case c.fate == waits:
		status.Phase = v1alpha1.InterceptPending
	case missing == "":
		status.Phase, status.Message = v1alpha1.InterceptActive, ""
		if status.Since == nil {
			status.Since = &metav1.Time{Time: w.now.Truncate(time.Second)}
		}
	case before.Phase == v1alpha1.InterceptActive && !w.settled():
		// A gateway that has just begun waits for the sidecars before it says anything else.
		before.Counts = status.Counts
		return before
	default:
		status.Phase, status.Message = v1alpha1.InterceptPending, missing
	}
	return status
}

func way(mode injector.Mode) v1alpha1.RedirectMode {
	switch mode {
	case injector.Instant:
		return v1alpha1.RedirectInstant
	case injector.Unprivileged:
		return v1alpha1.RedirectUnprivileged
	}
	return ""
}

// missing says in one sentence why a claim is not active yet; empty when it is.
func (m *memory) missing(w *world, c *claim, pods []podReport) string {
	ready := 0
	var open []podReport
	for _, p := range pods {
		if p.member.ready {
			ready++
			if !p.covered {
				open = append(open, p)
			}
		}
	}
	switch {
	case ready == 0 && len(pods) == 1:
		return withReason("no pod is ready", pods[0])
	case ready == 0:
		return "no pod is ready"
	case len(open) > 0:
		return withReason(fmt.Sprintf("%d of %s", len(open), plural(int64(ready), "pod is not covered yet", "pods are not covered yet")), open[0])
	}
	if c.mode == injector.Unprivileged {
		return m.unpointed(w, c)
	}
	return ""
}

func withReason(text string, p podReport) string {
	if p.message == "" {
		return text
	}
	return fmt.Sprintf("%s: %s: %s", text, p.member.pod.Name, p.message)
}

// unpointed says which Service does not lead to the sidecars yet.
func (m *memory) unpointed(w *world, c *claim) string {
	for _, p := range c.ports() {
		leads, _, _ := w.leads(c.members, p)
		for _, l := range leads {
			record, _ := restore.Read(l.service)
			servicePort := l.service.Spec.Ports[l.index]
			entry := record.Find(servicePort)
			known := m.service(l.service.Name)
			if entry != nil && servicePort.TargetPort.IntVal == entry.Listen {
				if w.now.Sub(known.changedAt) < spreadsWithin {
					return fmt.Sprintf("the nodes are hearing that service %s leads to the sidecars", l.service.Name)
				}
				continue
			}
			switch {
			case known.problem != "":
				return fmt.Sprintf("service %s can't be pointed at the sidecars: %s", l.service.Name, known.problem)
			case known.fights > 0:
				return fmt.Sprintf("something else, such as a GitOps controller, puts service %s back: stop that for the time being, or use the instant way", l.service.Name)
			}
			return fmt.Sprintf("service %s is being pointed at the sidecars, which waits for all of its pods", l.service.Name)
		}
	}
	return ""
}
