// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// recordNote tells of what stays of an intercept.
const recordNote = "Kubernetes keeps a record of the sidecar (an ephemeral container) in each pod until the pod is replaced"

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
