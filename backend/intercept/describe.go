// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/preview"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// length writes a duration to the minute, without parts that are zero.
func length(d time.Duration) string {
	return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(d.Round(time.Minute).String())
}

// Describe puts an Intercept into plain data. What only its own laptop knows is missing.
func Describe(o *v1alpha1.Intercept) session.Intercept {
	s := session.Intercept{
		Name: o.Name, Namespace: o.Namespace, ID: string(o.UID), User: o.Spec.User,
		Workload: session.InterceptWorkload{Kind: o.Spec.Workload.Kind, Name: o.Spec.Workload.Name, Container: o.Spec.Workload.Container},
		Phase:    string(o.Status.Phase), Message: o.Status.Message,
		All: o.Spec.Match == nil, Mirror: o.Spec.Mirror,
		Redirect: string(o.Status.Redirect), RedirectReason: o.Status.RedirectReason,
		PodsReady: int(o.Status.PodsReady), PodsCovered: int(o.Status.PodsCovered),
		Counts: session.InterceptCounts{
			Matched: count(o.Status.Counts.Matched), Passed: count(o.Status.Counts.Passed),
			FallenBack: count(o.Status.Counts.FallenBack), Unreadable: count(o.Status.Counts.Unreadable),
		},
		Since: instant(o.Status.Since), SilentSince: instant(o.Status.SilentSince),
		Expires: instant(o.Status.Expires), Created: instant(&o.CreationTimestamp),
		Notes: slices.Clone(o.Status.Notes), Attached: o.Annotations[attachedAnnotation] == "true",
	}
	if s.Expires == nil {
		s.Expires = instant(o.Spec.Expires)
	}
	if asked, allowed := o.Spec.Expires, o.Status.Expires; asked != nil && allowed != nil && asked.After(allowed.Time) {
		s.Notes = append(s.Notes, "the gateway lets an intercept stay no longer than "+length(allowed.Sub(o.CreationTimestamp.Time))+", which is less than was asked for")
	}
	locals := readLocals(o)
	for _, p := range o.Spec.Ports {
		protocol := cmp.Or(p.Protocol, "TCP")
		port := session.InterceptedPort{Port: int(p.Port), Protocol: protocol, Local: locals[portKey(p.Port, protocol)]}
		for _, l := range o.Status.Local {
			if l.Port == p.Port && cmp.Or(l.Protocol, "TCP") == protocol {
				port.Listening = l.Listening
			}
		}
		s.Ports = append(s.Ports, port)
	}
	for _, p := range o.Status.Pods {
		s.Pods = append(s.Pods, session.InterceptPod{Name: p.Name, Covered: p.Covered, Message: p.Message, Bypassing: int(p.Bypassing)})
	}
	if match := o.Spec.Match; match != nil {
		if match.Key != nil {
			s.Key = *match.Key
		}
		for _, h := range match.Headers {
			s.Where = append(s.Where, condition(h.Name, h.ValueMatch))
		}
		if match.Path != nil {
			path := condition("", *match.Path)
			s.Path = &path
		}
	}
	addPreview(&s, o, "")
	return s
}

// addPreview adds how a request is made that is meant; context, if it is not empty, is what this laptop calls the cluster.
func addPreview(s *session.Intercept, o *v1alpha1.Intercept, context string) {
	shown := preview.Of(previewRequest(*s, o.Annotations[urlAnnotation], context))
	s.Header, s.Baggage, s.Curl, s.Share = shown.Header, shown.Baggage, shown.Command, shown.Share
}

// previewRequest says what of an intercept a request to it depends on.
func previewRequest(s session.Intercept, url, context string) preview.Intercept {
	p := preview.Intercept{
		User: s.User, Context: context, Namespace: s.Namespace, Kind: s.Workload.Kind, Workload: s.Workload.Name, URL: url, All: s.All, Key: s.Key,
	}
	for _, c := range s.Where {
		p.Headers = append(p.Headers, preview.Condition{Name: c.Header, How: c.How, Value: c.Value})
	}
	if s.Path != nil {
		p.Path = &preview.Condition{How: s.Path.How, Value: s.Path.Value}
	}
	return p
}

// describe is Describe with what this laptop knows. m.mu is held.
func (m *Manager) describe(o *v1alpha1.Intercept) session.Intercept {
	s := Describe(o)
	if m.tunnel != nil {
		addPreview(&s, o, m.tunnel.Access.Context())
	}
	h := m.held[s.ID]
	if h == nil {
		return s
	}
	s.Mine, s.Leaving = true, h.leaving
	for i, port := range s.Ports {
		if t := h.targets[portKey(int32(port.Port), port.Protocol)]; t != nil {
			s.Ports[i].Local, s.Ports[i].Listening = t.address, t.sawLast()
		}
	}
	// The gateway says the same, from the last time it asked.
	s.Notes = slices.DeleteFunc(s.Notes, func(note string) bool { return strings.HasPrefix(note, "nothing listens on ") })
	for _, port := range s.Ports {
		if !port.Listening && s.Phase != string(v1alpha1.InterceptEnded) {
			meanwhile := "requests go to the cluster meanwhile"
			if s.Mirror {
				meanwhile = "copies go nowhere meanwhile"
			}
			s.Notes = append(s.Notes, "nothing listens on "+port.Local+"; "+meanwhile)
		}
	}
	if h.trouble != "" {
		s.Notes = append(s.Notes, h.trouble)
	}
	return s
}

// Describe is the package's Describe, with what this laptop knows of it.
func (m *Manager) Describe(o *v1alpha1.Intercept) session.Intercept {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.describe(o)
}

func condition(header string, v v1alpha1.ValueMatch) session.Condition {
	switch {
	case v.Prefix != nil:
		return session.Condition{Header: header, How: "prefix", Value: *v.Prefix}
	case v.Regex != nil:
		return session.Condition{Header: header, How: "regex", Value: *v.Regex}
	case v.Exact != nil:
		return session.Condition{Header: header, How: "exact", Value: *v.Exact}
	}
	return session.Condition{Header: header, How: "exact"}
}

// count reads a number that is never negative.
func count(n int64) uint64 { return uint64(max(n, 0)) }

func instant(t *metav1.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	at := t.Time
	return &at
}

// readLocals reads where ports go on the laptop; what can't be read is left out.
func readLocals(o *v1alpha1.Intercept) map[string]string {
	locals := map[string]string{}
	if text := o.Annotations[localAnnotation]; text != "" {
		_ = json.Unmarshal([]byte(text), &locals) // of whoever wrote it: shown, and used only for one's own
	}
	for key, address := range locals {
		if strings.ContainsFunc(address, func(r rune) bool { return r < 0x21 || r > 0x7e }) || len(address) > 300 {
			delete(locals, key)
		}
	}
	return locals
}

// What says which requests an intercept is for, in a few words.
func What(s session.Intercept) string {
	var parts []string
	if s.Key != "" {
		parts = append(parts, preview.Header+": "+s.Key)
	}
	signs := map[string]string{"exact": "=", "prefix": "^=", "regex": "~="}
	for _, c := range s.Where {
		parts = append(parts, c.Header+signs[c.How]+c.Value)
	}
	if s.Path != nil {
		parts = append(parts, "path"+signs[s.Path.How]+s.Path.Value)
	}
	what := strings.Join(parts, ", ")
	if s.All {
		what = "all"
	}
	if s.Mirror {
		what += " (copy)"
	}
	return what
}
