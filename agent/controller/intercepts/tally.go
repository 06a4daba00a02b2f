// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// tally sums what sidecars have counted for an Intercept.
type tally struct {
	base wire.InterceptReport // of sidecars that are gone, and of the time before this gateway
	last map[types.UID]wire.InterceptReport
	// begun: base was taken from the status.
	begun bool
}

// sum returns the counts since the intercept began. before is what the status says, which a gateway that started anew goes
// on from; what sidecars have counted already when it first hears them is in there.
func (t *tally) sum(w *world, m *memory, c *claim, before v1alpha1.InterceptCounts) wire.InterceptReport {
	if !t.begun {
		t.begun, t.last = true, make(map[types.UID]wire.InterceptReport)
		t.base = wire.InterceptReport{Matched: before.Matched, Passed: before.Passed, FallenBack: before.FallenBack, Unreadable: before.Unreadable}
	}
	fresh := before == (v1alpha1.InterceptCounts{})
	for _, member := range c.members {
		uid := member.pod.UID
		state := w.state(uid)
		now, found := wire.InterceptReport{}, false
		for _, rule := range state.Report.Rules {
			if rule.Intercept == c.id() {
				now, found = add(now, rule, 1), true
			}
		}
		if !found {
			continue
		}
		last, known := t.last[uid]
		switch {
		case !known && !fresh && (m.pods[uid] == nil || !m.pods[uid].own):
			t.base = add(t.base, now, -1) // it had counted this before this gateway began
		case known && (now.Matched < last.Matched || now.Passed < last.Passed || now.FallenBack < last.FallenBack || now.Unreadable < last.Unreadable):
			t.base = add(t.base, last, 1) // another process counts from zero
		}
		t.last[uid] = now
	}
	total := t.base
	for _, now := range t.last {
		total = add(total, now, 1)
	}
	return total
}

// add returns the counts of a plus times those of b.
func add(a, b wire.InterceptReport, times int64) wire.InterceptReport {
	a.Matched += times * b.Matched
	a.Passed += times * b.Passed
	a.FallenBack += times * b.FallenBack
	a.Unreadable += times * b.Unreadable
	return a
}
