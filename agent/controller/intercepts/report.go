// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

const (
	// LocalAnnotation of an Intercept says where on the laptop each port goes, as a map from 8080/TCP to 127.0.0.1:3000.
	LocalAnnotation = "fairlead.dev/local"

	// maxPods is how many pods a status names.
	maxPods = 100

	// endTimeout is how long an intercept that ends waits for sidecars to confirm. Those that don't are not heard, and
	// do nothing for it any more: flows without an order are refused.
	endTimeout = 2 * time.Second

	// connectWithin is how long a sidecar that runs may take to reach the gateway before that is called a problem.
	connectWithin = 3 * time.Second

	// spreadsWithin is how long the nodes' kube-proxies may take to follow a change of a Service (their minSyncPeriod).
	spreadsWithin = time.Second

	// missWithin is how long a sidecar that was in place may be out of touch before its pod counts as not covered: it
	// connects again by itself within that time.
	missWithin = 1500 * time.Millisecond
)

// recordNote tells of what stays of an intercept.
const recordNote = "Kubernetes keeps a record of the sidecar (an ephemeral container) in each pod until the pod is replaced"

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

// ended reports whether everything that a claim changed is put back.
func (m *memory) ended(w *world, c *claim) bool {
	known := m.intercept(c.intercept.UID, w.now)
	if known.endedAt.IsZero() {
		known.endedAt = w.now
	}
	done := w.now.Sub(known.endedAt) > endTimeout || c.confirmedGone(w, m)
	if c.intercept.Status.Phase == v1alpha1.InterceptEnded {
		done = true
	}
	if done && known.doneAt.IsZero() {
		known.doneAt = w.now
	}
	return done
}

// confirmedGone reports whether no sidecar works for a claim any more, and no Service leads to sidecars because of it.
func (c *claim) confirmedGone(w *world, m *memory) bool {
	for _, member := range c.members {
		state := w.state(member.pod.UID)
		if m.pods[member.pod.UID] != nil && state.Connected && state.Report.Revision != state.Revision {
			return false
		}
	}
	for i := range w.services {
		service := &w.services[i]
		record, _ := restore.Read(service)
		if record == nil || m.service(service.Name).wanted {
			continue
		}
		if slices.ContainsFunc(w.selected(service), func(pod *corev1.Pod) bool { return holdsPod(c.members, pod) }) {
			return false
		}
	}
	return true
}

// locals says of each port whether a program answers on the laptop.
func locals(w *world, c *claim, known *interceptMemory, pods []podReport) []v1alpha1.InterceptLocal {
	addresses := make(map[string]string)
	_ = json.Unmarshal([]byte(c.intercept.Annotations[LocalAnnotation]), &addresses) // what can't be read says nothing
	var all []v1alpha1.InterceptLocal
	for _, p := range c.ports() {
		local, ok := known.local[p]
		var latest time.Time
		for _, pod := range pods {
			state := w.state(pod.member.pod.UID)
			for _, rule := range state.Report.Rules {
				if rule.Intercept != c.id() || rule.Port != p.Number || rule.Protocol != p.Protocol || !rule.ProbedAt.After(latest) {
					continue
				}
				if rule.Probe.Result == wire.Accepted || rule.Probe.Result == wire.NobodyListens {
					latest, ok = rule.ProbedAt, true
					local = v1alpha1.InterceptLocal{Listening: rule.Probe.Result == wire.Accepted, Address: rule.Probe.Local}
				}
			}
		}
		if !ok {
			continue
		}
		local.Port, local.Protocol = int32(p.Number), p.Protocol
		local.Address = cmp.Or(local.Address, addresses[fmt.Sprintf("%d/%s", p.Number, p.Protocol)])
		known.local[p] = local
		all = append(all, local)
	}
	return all
}

// notes are what the owner should know although nothing is wrong.
func notes(w *world, c *claim, status v1alpha1.InterceptStatus, pods []podReport) []string {
	var notes []string
	if !c.suspended {
		for _, local := range status.Local {
			if !local.Listening {
				notes = append(notes, fmt.Sprintf("nothing listens on %s; requests go to the cluster meanwhile", cmp.Or(local.Address, "the laptop's port")))
			}
		}
	}
	bypassing, ephemeral := 0, false
	for _, p := range pods {
		bypassing += p.bypassing
		ephemeral = ephemeral || p.ephemeral
	}
	if bypassing > 0 {
		note := plural(int64(bypassing), "connection that was open before still goes to the app", "connections that were open before still go to the app")
		if c.intercept.Spec.Takeover != v1alpha1.TakeoverForce {
			note += " (--takeover force closes them)"
		}
		notes = append(notes, note)
	}
	if n := status.Counts.Unreadable; n > 0 && c.match != nil {
		notes = append(notes, fmt.Sprintf("%s could not be looked into, as with TLS, and went to the app: only an intercept of all traffic takes them", plural(n, "connection", "connections")))
	}
	if c.mode == injector.Unprivileged {
		for _, p := range c.ports() {
			if _, headless, _ := w.leads(c.members, p); len(headless) > 0 {
				notes = append(notes, fmt.Sprintf("callers of the headless service %s go to the pods themselves, and are not redirected the unprivileged way", strings.Join(headless, ", ")))
			}
		}
	}
	if ephemeral {
		notes = append(notes, recordNote)
	}
	return notes
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
