// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

const (
	// connectWithin is how long a sidecar that runs may take to reach the gateway before that is called a problem.
	connectWithin = 3 * time.Second

	// missWithin is how long a sidecar that was in place may be out of touch before its pod counts as not covered: it
	// connects again by itself within that time.
	missWithin = 1500 * time.Millisecond
)

// podReport is what is known of a claim in one pod.
type podReport struct {
	member    *member
	covered   bool
	message   string
	bypassing int
	container string
	ephemeral bool
	silentApp bool // the app does not listen
}

// inspect looks at a claim in each of its pods, in order of their names.
func inspect(w *world, m *memory, c *claim) []podReport {
	known := m.intercept(c.intercept.UID, w.now)
	var reports []podReport
	for _, member := range c.members {
		if member.ending {
			continue
		}
		r := podReport{member: member}
		r.covered, r.message = m.covered(w, c, member, &r)
		if r.covered {
			known.covered[member.pod.UID] = true
		} else {
			delete(known.covered, member.pod.UID)
		}
		reports = append(reports, r)
	}
	slices.SortFunc(reports, func(a, b podReport) int { return cmp.Compare(a.member.pod.Name, b.member.pod.Name) })
	return reports
}

// covered reports whether everything is in place in one pod, and otherwise what is being waited for.
func (m *memory) covered(w *world, c *claim, member *member, r *podReport) (bool, string) {
	was := m.intercept(c.intercept.UID, w.now).covered[member.pod.UID]
	state := w.state(member.pod.UID)
	known := m.pods[member.pod.UID]
	switch {
	case c.fate != holds || c.suspended:
		return false, ""
	case !member.scheduled():
		return false, "it has no node yet"
	case known == nil || known.container == "":
		problem := "its sidecar has ended; another one follows"
		if known == nil || len(known.tries) == 0 {
			problem = "its sidecar is being added"
		}
		if known != nil && known.problem != "" {
			problem = known.problem
		}
		return false, problem
	}
	r.container = known.container
	r.ephemeral = !slices.ContainsFunc(member.pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == known.container })
	if !state.Connected || state.Container != known.container {
		if was && w.now.Sub(state.Since) < missWithin {
			return true, ""
		}
		return false, waiting(w, member, known.container, state.Refused)
	}
	confirmed := state.Report.Revision == state.Revision && state.Revision != 0
	if !confirmed && !was {
		return false, "its sidecar sets up the redirect"
	}
	for _, p := range c.ports() {
		report, ok := findPort(state.Report, p)
		r.bypassing += report.Bypassing
		switch {
		case ok && report.Redirected:
		case ok && report.Problem != "":
			return false, report.Problem
		case ok && !report.AppListens:
			r.silentApp = true
			return false, fmt.Sprintf("the app does not listen on port %s", describePort(p))
		default:
			return false, "its sidecar sets up the redirect"
		}
		if ok, message := wayIsThere(state.Report, c.id(), p); !ok {
			return false, message
		}
	}
	return true, ""
}

// wayIsThere reports whether a probe has gone the whole way to the laptop.
func wayIsThere(report wire.Report, intercept string, p port) (bool, string) {
	for _, rule := range report.Rules {
		if rule.Intercept != intercept || rule.Port != p.Number || rule.Protocol != p.Protocol {
			continue
		}
		switch rule.Probe.Result {
		case wire.Accepted, wire.NobodyListens:
			return true, ""
		case "":
		default:
			detail := rule.Probe.Detail
			if detail == "" {
				detail = string(rule.Probe.Result)
			}
			return false, "a probe did not get through to the laptop: " + detail
		}
	}
	return false, "a probe is on its way to the laptop"
}

// waiting says what a sidecar that is not connected waits for.
func waiting(w *world, member *member, container, refusal string) string {
	status := containerStatus(member.pod, container)
	switch {
	case status == nil || status.State.Waiting != nil && (status.State.Waiting.Reason == "" || status.State.Waiting.Reason == "ContainerCreating" || status.State.Waiting.Reason == "PodInitializing"):
		return "its sidecar is being started (the first time on a node, the image is pulled)"
	case status.State.Waiting != nil && (strings.HasPrefix(status.State.Waiting.Reason, "ErrImage") || strings.HasPrefix(status.State.Waiting.Reason, "ImagePull")):
		return fmt.Sprintf("the sidecar's image %s can't be pulled: %s", w.sidecars.Image, status.State.Waiting.Message)
	case status.State.Waiting != nil:
		return fmt.Sprintf("its sidecar does not start: %s: %s", status.State.Waiting.Reason, status.State.Waiting.Message)
	case refusal != "":
		return "the gateway refused its sidecar: " + refusal
	case status.State.Running != nil && w.now.Sub(status.State.Running.StartedAt.Time) > connectWithin:
		return "its sidecar does not reach the gateway: does a NetworkPolicy keep the pod from it? " + mustAllow(w)
	}
	return "its sidecar is connecting to the gateway"
}

// mustAllow says what a NetworkPolicy for intercepted pods has to allow.
func mustAllow(w *world) string {
	var ports []string
	for _, gateway := range w.sidecars.Gateways {
		if port := strconv.Itoa(int(gateway.Port())); !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return fmt.Sprintf("It has to allow egress to TCP port %s of the pods labelled app.kubernetes.io/name=fairlead in namespace %s", strings.Join(ports, ", "), w.gateway)
}

// findPort returns what a sidecar says about a port.
func findPort(r wire.Report, p port) (wire.PortReport, bool) {
	for _, report := range r.Ports {
		if report.Port == p.Number && report.Protocol == p.Protocol {
			return report, true
		}
	}
	return wire.PortReport{}, false
}
