// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// overlap says how the requests of two matches relate, as far as that can be told from here.
type overlap int

const (
	overlapUnknown overlap = iota // the gateway, which knows more of it, decides
	overlapNone
	overlapSure
)

// conflict says what of other people's intercepts stands in the way of one that is about to be made: a problem where the
// gateway is going to refuse it for sure, warnings where it may. It is the gateway that decides.
func conflict(o *v1alpha1.Intercept, others []v1alpha1.Intercept, policy cluster.Policy, policyKnown bool, now time.Time) (*problem.Problem, []string) {
	var warnings []string
	for i := range others {
		other := &others[i]
		port, meets := meet(o, other)
		if !meets || o.Spec.Mirror || other.Spec.Mirror {
			continue
		}
		theirs := fmt.Sprintf("%s %s of port %d of %s since %s", has(o, other), What(Describe(other)), port, workloadOf(other), sinceWords(other.CreationTimestamp.Time, now))
		switch relate(o.Spec.Match, other.Spec.Match) {
		case overlapNone:
		case overlapSure:
			return problem.New(problem.InterceptRefused, advice(o, other), "%s", theirs), warnings
		case overlapUnknown:
			oneIsAll := o.Spec.Match == nil || other.Spec.Match == nil
			switch {
			case oneIsAll && policyKnown && !policy.PersonalBesideAll:
				hint := advice(o, other) + " The gateway allows both only with the chart value intercepts.personalBesideAll."
				return problem.New(problem.InterceptRefused, hint, "%s", theirs), warnings
			case oneIsAll && policyKnown:
				warnings = append(warnings, theirs+": whoever has a key or a header gets those requests, the other one the rest")
			default:
				warnings = append(warnings, theirs+": if these may be the same requests, the gateway refuses yours")
			}
		}
	}
	return nil, warnings
}

// meet returns the first port that two intercepts have in common.
func meet(o, other *v1alpha1.Intercept) (port int32, ok bool) {
	if other.Spec.Workload.Kind != o.Spec.Workload.Kind || other.Spec.Workload.Name != o.Spec.Workload.Name || isOver(other) {
		return 0, false
	}
	for _, p := range o.Spec.Ports {
		if slices.ContainsFunc(other.Spec.Ports, func(q v1alpha1.InterceptPort) bool {
			return q.Port == p.Port && cmp.Or(q.Protocol, "TCP") == cmp.Or(p.Protocol, "TCP")
		}) {
			return p.Port, true
		}
	}
	return 0, false
}

// isOver reports whether an intercept takes nothing any more, or never did.
func isOver(o *v1alpha1.Intercept) bool {
	return o.Spec.Leaving || o.Status.Phase == v1alpha1.InterceptEnded || o.Status.Phase == v1alpha1.InterceptRefused
}

// relate compares what two matches take; nil is all.
func relate(a, b *v1alpha1.Match) overlap {
	switch {
	case sameMatch(a, b):
		return overlapSure
	case a == nil || b == nil:
		return overlapUnknown
	case a.Key != nil && b.Key != nil && *a.Key != *b.Key:
		return overlapNone
	case a.Path != nil && b.Path != nil && differ(*a.Path, *b.Path):
		return overlapNone
	}
	return overlapUnknown
}

// differ reports whether no value can satisfy both. Regular expressions are the gateway's to compare.
func differ(a, b v1alpha1.ValueMatch) bool {
	switch {
	case a.Exact != nil && b.Exact != nil:
		return *a.Exact != *b.Exact
	case a.Exact != nil && b.Prefix != nil:
		return !strings.HasPrefix(*a.Exact, *b.Prefix)
	case a.Prefix != nil && b.Exact != nil:
		return !strings.HasPrefix(*b.Exact, *a.Prefix)
	case a.Prefix != nil && b.Prefix != nil:
		return !strings.HasPrefix(*a.Prefix, *b.Prefix) && !strings.HasPrefix(*b.Prefix, *a.Prefix)
	}
	return false
}

func has(o, other *v1alpha1.Intercept) string {
	who := other.Spec.User + " has"
	if other.Spec.User == o.Spec.User {
		who = "you have"
	}
	if other.Spec.Match == nil {
		return who
	}
	return who + " the requests with"
}

func advice(o, other *v1alpha1.Intercept) string {
	first := "Ask " + other.Spec.User + " to leave"
	if other.Spec.User == o.Spec.User {
		first = "Leave that one first"
	}
	if o.Spec.Match == nil || other.Spec.Match == nil {
		return first + "."
	}
	return first + ", or use another key or header."
}

func workloadOf(o *v1alpha1.Intercept) string {
	return strings.ToLower(o.Spec.Workload.Kind) + "/" + o.Spec.Workload.Name
}

// sinceWords says a moment as shortly as it can be understood, by this machine's clock.
func sinceWords(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}
