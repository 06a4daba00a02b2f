// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/flows"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// Policy is what whoever installed the gateway has decided.
type Policy struct {
	// PersonalBesideAll lets a personal intercept be on a port whose whole traffic is somebody else's.
	PersonalBesideAll bool
	// MaxDuration is how long an intercept may last; 0 means 24 h.
	MaxDuration time.Duration
	// RemoveAfter is how long a laptop may be away before its intercepts are removed; 0 means 15 min.
	RemoveAfter time.Duration
	// Redirect is the way where an Intercept leaves it open; empty means Auto.
	Redirect v1alpha1.RedirectMode
}

func (p Policy) maxDuration() time.Duration {
	if p.MaxDuration <= 0 {
		return 24 * time.Hour
	}
	return p.MaxDuration
}

func (p Policy) removeAfter() time.Duration {
	if p.RemoveAfter <= 0 {
		return defaultRemoveAfter
	}
	return p.RemoveAfter
}

// world is all that decisions about a namespace are made from. Nothing in it is changed. It is for one decision.
type world struct {
	now     time.Time
	started time.Time // when this gateway began to serve
	policy  Policy
	gateway string // namespace of the gateway

	namespace   string
	level       string // of Pod Security that the namespace enforces; empty for none
	intercepts  []v1alpha1.Intercept
	pods        []corev1.Pod
	replicaSets map[string]owner // by name; their controllers
	services    []corev1.Service
	connections map[string]*v1alpha1.Connection
	nodes       map[string][]netip.Addr // from where a node's kubelet probes, by the node's name

	sidecars injector.Settings
	heard    func(connection string) time.Time
	state    func(pod types.UID) flows.State

	selections map[*corev1.Service][]*corev1.Pod // what selected has found out
}

// settleAfter is how long after its start a gateway takes nobody for silent, and takes no intercept to be less than it was
// before: laptops and sidecars find it in that time.
const settleAfter = 10 * time.Second

// settled reports whether the gateway has been there long enough for silence to mean something.
func (w *world) settled() bool { return w.now.Sub(w.started) > settleAfter }

// workload names a workload of the namespace.
type workload struct{ kind, name string }

// owner is the controller of an object; the zero value is none.
type owner = workload

// knownGroups are the API groups of the kinds of workloads. Others of the same name are not meant.
var knownGroups = map[string]string{
	"Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps", "ReplicaSet": "apps", "Job": "batch", "Pod": "",
	"Rollout": "argoproj.io",
}

// controllerOf returns the workload that controls an object.
func controllerOf(object metav1.Object) owner {
	ref := metav1.GetControllerOfNoCopy(object)
	if ref == nil {
		return owner{}
	}
	group, _, _ := cutGroup(ref.APIVersion)
	if known, ok := knownGroups[ref.Kind]; !ok || known != group {
		return owner{}
	}
	return owner{kind: ref.Kind, name: ref.Name}
}

// cutGroup splits an API version such as apps/v1.
func cutGroup(apiVersion string) (group, version string, grouped bool) {
	for i := range apiVersion {
		if apiVersion[i] == '/' {
			return apiVersion[:i], apiVersion[i+1:], true
		}
	}
	return "", apiVersion, false
}

// chain lists a pod and the workloads that it belongs to, the outermost last.
func (w *world) chain(pod *corev1.Pod) []workload {
	chain := []workload{{kind: "Pod", name: pod.Name}}
	above := controllerOf(pod)
	if above == (owner{}) {
		return chain
	}
	chain = append(chain, above)
	if above.kind == "ReplicaSet" {
		if top := w.replicaSets[above.name]; top != (owner{}) {
			chain = append(chain, top)
		}
	}
	return chain
}

// rootOf returns the outermost workload that a reference belongs to: two references with different ones share no pod.
func (w *world) rootOf(ref workload, members []*member) workload {
	for _, m := range members {
		if slices.Contains(m.chain, ref) {
			return m.chain[len(m.chain)-1]
		}
	}
	if top := w.replicaSets[ref.name]; ref.kind == "ReplicaSet" && top != (owner{}) {
		return top
	}
	return ref
}

// member is a pod with what decisions need to know of it.
type member struct {
	pod       *corev1.Pod
	chain     []workload
	addresses []netip.Addr
	ready     bool // and not ending
	ending    bool
}

// members looks at the pods that have not ended.
func (w *world) members() []*member {
	var members []*member
	for i := range w.pods {
		pod := &w.pods[i]
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		m := &member{pod: pod, chain: w.chain(pod), ending: pod.DeletionTimestamp != nil}
		for _, entry := range pod.Status.PodIPs {
			if address, err := netip.ParseAddr(entry.IP); err == nil {
				m.addresses = append(m.addresses, address)
			}
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady {
				m.ready = condition.Status == corev1.ConditionTrue && !m.ending
			}
		}
		members = append(members, m)
	}
	return members
}

// scheduled reports whether a pod has a node, so that it may run at any moment.
func (m *member) scheduled() bool { return m.pod.Spec.NodeName != "" && !m.ending }

// port is a port of a pod.
type port = flows.Port
