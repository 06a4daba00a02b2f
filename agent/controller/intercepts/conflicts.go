// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"cmp"
	"slices"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/matching"
)

// precedence orders claims: those that have their place keep it, then the older ones come first. So an intercept that was
// refused never takes the place of one that was not.
func precedence(a, b *claim) int {
	return cmp.Or(
		-compareBool(a.placed(), b.placed()),
		a.intercept.CreationTimestamp.Compare(b.intercept.CreationTimestamp.Time),
		cmp.Compare(a.intercept.UID, b.intercept.UID))
}

// placed reports whether the Intercept was let in before.
func (c *claim) placed() bool {
	switch c.intercept.Status.Phase {
	case v1alpha1.InterceptPending, v1alpha1.InterceptActive, v1alpha1.InterceptSuspended:
		return true
	}
	return false
}

// resolve refuses claims that get in the way of others before them.
func resolve(w *world, claims []*claim) {
	for i, c := range claims {
		if c.fate != holds && c.fate != waits {
			continue
		}
		for _, other := range claims[:i] {
			if other.fate != holds && other.fate != waits {
				continue
			}
			if p, ok := collide(w.policy, c, other); ok {
				c.refuse("%s", describeConflict(p, c, other, w.now))
				break
			}
		}
	}
}

// collide reports whether two claims can't be together, and the port where.
func collide(policy Policy, c, other *claim) (port, bool) {
	if c.intercept.Spec.Mirror || other.intercept.Spec.Mirror || !c.meets(other) {
		return port{}, false
	}
	for _, p := range c.ports() {
		if slices.Contains(other.ports(), p) && !compatible(policy, c, other) {
			return p, true
		}
	}
	return port{}, false
}

// meets reports whether two claims mean the same pods.
func (c *claim) meets(other *claim) bool {
	if c.ref == other.ref {
		return true
	}
	return slices.ContainsFunc(c.members, func(m *member) bool { return slices.Contains(other.members, m) })
}

// compatible reports whether two claims on one port take different requests.
func compatible(policy Policy, c, other *claim) bool {
	switch {
	case c.match == nil && other.match == nil:
		return false
	case c.match == nil || other.match == nil:
		return policy.PersonalBesideAll
	default:
		return matching.Disjoint(*c.match, *other.match)
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
