// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// memory is what a worker remembers between decisions. Whatever is lost with it is found out again. It is not safe for
// concurrent use.
type memory struct {
	intercepts  map[types.UID]*interceptMemory
	pods        map[types.UID]*podMemory
	services    map[string]*serviceMemory // by name
	workloads   map[workload]lookup
	connections map[string]answer // of those that the cache does not have
	roots       map[workload]*rootMemory
}

func newMemory() *memory {
	return &memory{
		intercepts: make(map[types.UID]*interceptMemory), pods: make(map[types.UID]*podMemory),
		services: make(map[string]*serviceMemory), workloads: make(map[workload]lookup),
		connections: make(map[string]answer), roots: make(map[workload]*rootMemory),
	}
}

// answer is what the API server says about an object.
type answer int

const (
	unknown answer = iota
	present
	absent
)

type lookup struct {
	answer answer
	at     time.Time
}

// interceptMemory is what is remembered of an Intercept.
type interceptMemory struct {
	firstSeen time.Time
	endedAt   time.Time                 // when it was decided that it ends
	doneAt    time.Time                 // when everything was put back
	remove    bool                      // nobody else deletes it
	written   time.Time                 // its status
	sent      *v1alpha1.InterceptStatus // what was written last; the cache shows it a moment later
	covered   map[types.UID]bool
	tally     tally
	local     map[port]v1alpha1.InterceptLocal
}

// podMemory is what is remembered of a pod that has, or is to have, a sidecar.
type podMemory struct {
	container string                   // that serves
	added     map[string]injector.Mode // containers that were added, while the cache does not show them
	tries     []time.Time              // when containers were added
	trying    bool
	problem   string // why the last try did not work
	freeSince time.Time
	ordered   bool            // the server of the sidecars has been told of it
	listens   map[port]uint16 // where the sidecar was told to listen: the unprivileged way
	native    bool            // container was born with the pod
	own       bool            // its sidecar was added by this process, or the pod was born since
}

// serviceMemory is what is remembered of a Service that leads to sidecars.
type serviceMemory struct {
	record    *restore.Record // what it was, while it leads to sidecars and a moment longer
	changedAt time.Time       // when it was last changed
	putBackAt time.Time       // when it was seen to lead to the app again
	busy      bool
	wanted    bool // something holds it at the sidecars
	fights    int  // how often somebody else put it back
	problem   string
}

// rootMemory is what is remembered of an outermost workload.
type rootMemory struct {
	// noInstant says why the instant way does not work here.
	noInstant string
	// listen is where sidecars listen in the unprivileged way.
	listen map[port]uint16
	// unusable are ports where they could not.
	unusable map[uint16]bool
}

func (m *memory) intercept(uid types.UID, now time.Time) *interceptMemory {
	known := m.intercepts[uid]
	if known == nil {
		known = &interceptMemory{firstSeen: now, covered: make(map[types.UID]bool), local: make(map[port]v1alpha1.InterceptLocal)}
		m.intercepts[uid] = known
	}
	return known
}

func (m *memory) firstSeen(uid types.UID, now time.Time) time.Time {
	return m.intercept(uid, now).firstSeen
}

func (m *memory) pod(uid types.UID) *podMemory {
	known := m.pods[uid]
	if known == nil {
		known = &podMemory{added: make(map[string]injector.Mode)}
		m.pods[uid] = known
	}
	return known
}

func (m *memory) service(name string) *serviceMemory {
	known := m.services[name]
	if known == nil {
		known = &serviceMemory{}
		m.services[name] = known
	}
	return known
}

func (m *memory) root(w workload) *rootMemory {
	known := m.roots[w]
	if known == nil {
		known = &rootMemory{listen: make(map[port]uint16), unusable: make(map[uint16]bool)}
		m.roots[w] = known
	}
	return known
}

// forget drops what is no longer there.
func (m *memory) forget(w *world, claims []*claim) {
	intercepts, roots := make(map[types.UID]bool), make(map[workload]bool)
	connections, refs := make(map[string]bool), make(map[workload]bool)
	for _, c := range claims {
		intercepts[c.intercept.UID], refs[c.ref] = true, true
		roots[c.root] = roots[c.root] || c.fate != ends
		connections[c.intercept.Spec.Connection.Name] = true
	}
	services := make(map[string]bool)
	for i := range w.services {
		services[w.services[i].Name] = true
	}
	prune(m.intercepts, intercepts)
	prune(m.services, services)
	prune(m.workloads, refs)
	prune(m.connections, connections)
	for root := range m.roots {
		if !roots[root] && !m.pointed() {
			delete(m.roots, root)
		}
	}
}

func prune[K comparable, V any](all map[K]V, keep map[K]bool) {
	for key := range all {
		if !keep[key] {
			delete(all, key)
		}
	}
}
