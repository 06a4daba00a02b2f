// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"
	"strings"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// chooseWays decides how the traffic of each workload is redirected. All claims on a workload share one way: that of the
// one that comes first.
func chooseWays(w *world, m *memory, claims []*claim) {
	first := make(map[workload]*claim)
	for _, c := range claims {
		if c.fate != holds {
			continue
		}
		if lead := first[c.root]; lead != nil {
			c.mode, c.reason = lead.mode, lead.reason
			if wanted := modeOf(c.intercept.Spec.Redirect); wanted != "" && wanted != c.mode {
				c.reason = fmt.Sprintf("the intercept of %s, which is older, has the pods redirected this way: %s", lead.intercept.Spec.User, lead.reason)
			}
		} else {
			c.chooseWay(w, m)
		}
		if c.fate == holds && c.mode == injector.Unprivileged {
			if obstacle := c.unprivilegedObstacle(w); obstacle != "" {
				c.refuse("%s; the unprivileged way needs Services: %s", c.reason, obstacle)
			}
		}
		if c.fate == holds && first[c.root] == nil {
			first[c.root] = c
		}
	}
}

// modeOf returns the mode that a way needs; empty for Auto.
func modeOf(way v1alpha1.RedirectMode) injector.Mode {
	switch way {
	case v1alpha1.RedirectInstant:
		return injector.Instant
	case v1alpha1.RedirectUnprivileged:
		return injector.Unprivileged
	}
	return ""
}

// chooseWay decides for a claim that comes first.
func (c *claim) chooseWay(w *world, m *memory) {
	wanted, who := modeOf(c.intercept.Spec.Redirect), "the intercept asks for it"
	if wanted == "" {
		wanted, who = modeOf(w.policy.Redirect), "the gateway's settings ask for it (chart value intercepts.redirect)"
	}
	obstacle := c.instantObstacle(m)
	if obstacle == "" && wanted == "" {
		obstacle = levelObstacle(w)
	}
	switch {
	case wanted == injector.Unprivileged:
		c.mode, c.reason = injector.Unprivileged, who
	case wanted == injector.Instant && obstacle != "":
		c.refuse("the instant way is not possible: %s", obstacle)
	case wanted == injector.Instant:
		c.mode, c.reason = injector.Instant, who
	case obstacle != "":
		c.mode, c.reason = injector.Unprivileged, "the instant way is not possible: "+obstacle
	default:
		c.mode, c.reason = injector.Instant, "the cluster allows it"
	}
}

// instantObstacle says why the instant way is known not to work; empty if nothing is known.
func (c *claim) instantObstacle(m *memory) string {
	for _, member := range c.members {
		if err := injector.Possible(member.pod, injector.Instant); err != nil {
			return err.Error()
		}
	}
	return m.root(c.root).noInstant
}

// levelObstacle says that Pod Security is going to refuse the capabilities.
func levelObstacle(w *world) string {
	switch w.level {
	case "baseline", "restricted":
		return fmt.Sprintf("namespace %s enforces the Pod Security level %s, which forbids the capabilities that it needs", w.namespace, w.level)
	}
	return ""
}

// unprivilegedObstacle says why no Service can be pointed at the sidecars.
func (c *claim) unprivilegedObstacle(w *world) string {
	var obstacles []string
	for _, p := range c.ports() {
		if _, _, obstacle := w.leads(c.members, p); obstacle != "" {
			obstacles = append(obstacles, obstacle)
		}
	}
	return strings.Join(obstacles, "; ")
}

// learn notes what turned out not to work: the instant way, or a port to listen on.
func learn(w *world, m *memory, claims []*claim) {
	for _, c := range claims {
		if c.fate != holds {
			continue
		}
		for _, member := range c.members {
			state := w.state(member.pod.UID)
			if !state.Connected || state.Report.Revision != state.Revision {
				continue
			}
			for _, p := range c.ports() {
				report, ok := findPort(state.Report, p)
				if !ok || report.Redirected || report.Problem == "" {
					continue
				}
				switch {
				case c.mode == injector.Unprivileged:
					m.listenElsewhere(w, c, member, p)
				case report.AppListens && modeOf(c.intercept.Spec.Redirect) == "" && modeOf(w.policy.Redirect) == "":
					m.root(c.root).noInstant = report.Problem
				}
			}
		}
	}
}

// listenElsewhere chooses another port for the sidecars of a workload where something in a pod has the one that they were
// told. No Service may lead there: it is put back first.
func (m *memory) listenElsewhere(w *world, c *claim, member *member, p port) {
	root, known := m.root(c.root), m.pods[member.pod.UID]
	number, chosen := root.listen[p]
	if _, pointed := m.passing(w, member.pod)[p]; pointed || !chosen || known == nil || known.listens[p] != number || len(root.unusable) > maxUnusable {
		return
	}
	root.unusable[number] = true
	delete(root.listen, p)
}
