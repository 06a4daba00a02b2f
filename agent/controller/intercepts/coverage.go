// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/injector"
)

const (
	// maxFailed is how many sidecars that died a pod gets replacements for, maxContainers how many sidecars it gets in all:
	// Kubernetes keeps a record of each for as long as the pod lives.
	maxFailed, maxContainers = 20, 100

	// triesWithin is how far back tries count for the pause before the next.
	triesWithin = time.Minute
)

// pauses before a sidecar is added, by how many were in the last minute.
var pauses = []time.Duration{0, 500 * time.Millisecond, 3 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}

// injection is a sidecar to be added to a pod.
type injection struct {
	member    *member
	container corev1.EphemeralContainer
	mode      injector.Mode
}

// cover chooses the sidecar that serves in each pod of the claims, and returns those that are to be added. credential
// makes the proof of a pod's sidecar.
func cover(w *world, m *memory, claims []*claim, credential func(pod *corev1.Pod, container string) string) []injection {
	var injections []injection
	seen := make(map[*member]bool)
	for _, c := range claims {
		if c.fate != holds {
			continue
		}
		for _, member := range c.members {
			if seen[member] || !member.scheduled() {
				continue
			}
			if seen[member] = true; c.suspended && !slices.ContainsFunc(claims, func(o *claim) bool {
				return o.fate == holds && !o.suspended && slices.Contains(o.members, member)
			}) {
				m.choose(w, member, c.mode) // nobody waits for it
				continue
			}
			if m.choose(w, member, c.mode) || !m.mayTry(w, member) {
				continue
			}
			container, err := w.sidecars.Ephemeral(m.withAdded(member.pod), c.mode, func(name string) string {
				return credential(member.pod, name)
			})
			known := m.pod(member.pod.UID)
			if err != nil {
				known.problem = err.Error()
				continue
			}
			known.container, known.own = container.Name, true
			injections = append(injections, injection{member: member, container: container, mode: c.mode})
		}
	}
	return injections
}

// choose finds the sidecar that serves in a pod, and reports whether there is one.
func (m *memory) choose(w *world, member *member, mode injector.Mode) bool {
	known := m.pod(member.pod.UID)
	state := w.state(member.pod.UID)
	best, score, native := "", 0, false
	for _, sidecar := range w.sidecars.Sidecars(member.pod) {
		delete(known.added, sidecar.Name)
		able := sidecar.Mode == injector.Instant || mode == injector.Unprivileged
		status := containerStatus(member.pod, sidecar.Name)
		if !sidecar.Current || !able || dead(status) {
			continue
		}
		points := 1
		if status != nil && status.State.Running != nil {
			points = 2
		}
		if state.Connected && state.Container == sidecar.Name {
			points = 3
		}
		if points > score {
			best, score, native = sidecar.Name, points, sidecar.Native
		}
	}
	if best == "" {
		for name, able := range known.added {
			if able == injector.Instant || mode == injector.Unprivileged {
				best = name
			}
		}
	}
	if best == "" && known.trying {
		return true
	}
	known.container, known.native = best, native
	return best != ""
}

// dead reports whether a container has ended for good.
func dead(status *corev1.ContainerStatus) bool {
	if status == nil {
		return false
	}
	crashing := status.State.Waiting != nil && status.State.Waiting.Reason == "CrashLoopBackOff"
	return status.State.Terminated != nil || crashing
}

// mayTry reports whether a pod may get a sidecar now.
func (m *memory) mayTry(w *world, member *member) bool {
	known := m.pod(member.pod.UID)
	if known.trying {
		return false
	}
	failed, all := 0, 0
	for _, sidecar := range w.sidecars.Sidecars(member.pod) {
		all++
		if status := containerStatus(member.pod, sidecar.Name); dead(status) && !orderly(status) {
			failed++
		}
	}
	if failed >= maxFailed || all >= maxContainers {
		known.problem = "its sidecars ended again and again (see the logs of its containers " + "fairlead-…): the pod gets no more of them until it is replaced"
		return false
	}
	known.tries = slices.DeleteFunc(known.tries, func(t time.Time) bool { return w.now.Sub(t) > triesWithin })
	if n := len(known.tries); n > 0 {
		return w.now.Sub(known.tries[n-1]) >= pauses[min(n, len(pauses)-1)]
	}
	return true
}

// orderly reports whether a container ended because it was told to.
func orderly(status *corev1.ContainerStatus) bool {
	return status.State.Terminated != nil && status.State.Terminated.ExitCode == 0
}

// withAdded returns the pod with the names of containers that were added but that the cache does not show yet.
func (m *memory) withAdded(pod *corev1.Pod) *corev1.Pod {
	known := m.pod(pod.UID)
	if len(known.added) == 0 {
		return pod
	}
	pod = pod.DeepCopy()
	for name := range known.added {
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name},
		})
	}
	return pod
}

// containerStatus returns what the kubelet says about a sidecar, or nil if it has said nothing yet.
func containerStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.EphemeralContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if statuses[i].Name == name {
				return &statuses[i]
			}
		}
	}
	return nil
}
