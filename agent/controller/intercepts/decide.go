// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/flows"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

const (
	// writeEvery is how often a status is written at most while the phase stays the same.
	writeEvery = time.Second

	// lookupEvery is how often it is asked again whether a workload without pods exists.
	lookupEvery = 5 * time.Second
)

// Sidecars is the server that sidecars connect to; *flows.Server is one. Its methods are cheap.
type Sidecars interface {
	SetPod(pod flows.Pod)
	RemovePod(uid types.UID)
	State(uid types.UID) flows.State
	Credential(uid types.UID, container string) string
}

// plan is what has to be done at the API server.
type plan struct {
	injections  []injection
	services    []serviceChange
	statuses    []statusChange
	deletions   []*v1alpha1.Intercept
	lookups     []workload
	connections []string // that the cache does not have

	// births says by the outermost workload what sidecar pods are to be born with.
	births map[workload]birth
}

// birth is for pods that are being made.
type birth struct {
	mode injector.Mode
	refs []workload // that are intercepted: the outermost one, or one below
}

type statusChange struct {
	intercept *v1alpha1.Intercept
	status    v1alpha1.InterceptStatus
}

// decide looks at everything, tells the sidecars what to do, and returns what is to be done at the API server.
func decide(w *world, m *memory, sidecars Sidecars) plan {
	members := w.members()
	m.track(w)
	claims := judge(w, m, members)
	chooseWays(w, m, claims)
	learn(w, m, claims)
	var p plan
	p.injections = cover(w, m, claims, func(pod *corev1.Pod, container string) string {
		return sidecars.Credential(pod.UID, container)
	})
	orders, gone := order(w, m, claims, members)
	for _, pod := range orders {
		sidecars.SetPod(pod)
	}
	for _, uid := range gone {
		sidecars.RemovePod(uid)
	}
	p.services = planServices(w, m, claims)
	p.births = make(map[workload]birth)
	for _, c := range claims {
		p.finish(w, m, c)
	}
	m.forget(w, claims)
	return p
}

// finish says in a claim's status what was decided, and what else it needs.
func (p *plan) finish(w *world, m *memory, c *claim) {
	known := m.intercept(c.intercept.UID, w.now)
	status := report(w, m, c)
	if c.intercept.DeletionTimestamp == nil && known.toWrite(w, c.intercept.Status, status) {
		p.statuses = append(p.statuses, statusChange{intercept: c.intercept, status: status})
	}
	// It is not deleted before it said that it ended: whoever watches it, and its events, tell why.
	known.remove = known.remove || c.remove
	said := c.intercept.Status.Phase == v1alpha1.InterceptEnded
	if !known.doneAt.IsZero() && (known.remove && said || w.now.Sub(known.doneAt) > keepEnded) {
		p.deletions = append(p.deletions, c.intercept)
	}
	name := c.intercept.Spec.Connection.Name
	if c.fate != ends && w.connections[name] == nil && m.connections[name] == unknown {
		p.connections = append(p.connections, name)
	}
	if c.fate == ends || c.fate == refused && len(c.members) > 0 {
		return
	}
	if looked := m.workloads[c.ref]; len(c.members) == 0 && w.now.Sub(looked.at) > lookupEvery {
		p.lookups = append(p.lookups, c.ref)
	}
	// A sidecar that some policy forbids would keep pods from being made. Where one was let in, others are.
	if c.fate == holds && !c.suspended && c.accepted(w) {
		b := p.births[c.root]
		b.mode, b.refs = c.mode, append(b.refs, c.ref)
		p.births[c.root] = b
	}
}

// accepted reports whether the cluster let a sidecar of the claim's mode into one of its pods.
func (c *claim) accepted(w *world) bool {
	return slices.ContainsFunc(c.members, func(m *member) bool {
		return slices.ContainsFunc(w.sidecars.Sidecars(m.pod), func(s injector.Sidecar) bool { return s.Current && s.Mode == c.mode })
	})
}

// toWrite reports whether a status is to be written now. Changes of the phase don't wait, the rest comes once a second.
func (m *interceptMemory) toWrite(w *world, before, after v1alpha1.InterceptStatus) bool {
	recent := w.now.Sub(m.written) < writeEvery
	switch {
	case equality.Semantic.DeepEqual(before, after):
		return false
	case m.sent == nil || !recent:
		return true
	case equality.Semantic.DeepEqual(*m.sent, after):
		return false // the cache is behind
	default:
		return m.sent.Phase != after.Phase
	}
}
