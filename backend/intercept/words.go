// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/preview"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// words says in sentences what an intercept would do. It is pure.
type words struct {
	request  Request
	wish     wish
	object   *v1alpha1.Intercept
	shown    session.Intercept
	workload PreviewedWorkload
	around   surroundings
	found    *cluster.FoundWorkload
}

// touches are the sentences on what happens, and to whom: what people need first comes first.
func (w words) touches() []string {
	var all []string
	for _, port := range w.shown.Ports {
		all = append(all, w.whatGoesWhere(port))
	}
	if w.shown.Key != "" {
		all = append(all, fmt.Sprintf("So do those with %s=%s in the header baggage, which tracing libraries pass on from service to service.", preview.BaggageMember, w.shown.Key))
	}
	return append(all, w.redirect(), w.openConnections(), w.ends())
}

// whatGoesWhere is the first sentence of a port.
func (w words) whatGoesWhere(port session.InterceptedPort) string {
	to := destination(port.Local)
	named := w.portName(port)
	several := len(w.workload.Ports) > 1 || len(w.shown.Ports) > 1
	switch {
	case w.shown.All && w.shown.Mirror:
		return fmt.Sprintf("A copy of ALL traffic of %s, of everybody, goes to %s. %s, and what your program answers is thrown away.", named, to, capital(w.podsOf("answer")))
	case w.shown.All:
		return fmt.Sprintf("ALL traffic of %s, of everybody, goes to %s. %s none of it.", named, to, capital(w.podsOf("get")))
	}
	requests := "requests with " + requestWords(w.shown)
	if several {
		requests = "requests to " + named + " with " + requestWords(w.shown)
	}
	if w.shown.Mirror {
		return fmt.Sprintf("A copy of %s goes to %s. %s, and what your program answers is thrown away.", requests, to, capital(w.podsOf("answer")))
	}
	return fmt.Sprintf("%s go to %s; everybody else's stay with %s.", capital(requests), to, w.podsOf(""))
}

// podsOf names the pods with a verb, such as "the 3 pods of Deployment shop/api get".
func (w words) podsOf(verb string) string {
	of := fmt.Sprintf("%s %s/%s", w.workload.Kind, w.workload.Namespace, w.workload.Name)
	one := w.workload.Pods == 1 || w.workload.Kind == "Pod"
	text := "the " + strconv.Itoa(w.workload.Pods) + " pods of " + of
	switch {
	case w.workload.Kind == "Pod":
		text = of
	case one:
		text = "the pod of " + of
	case !w.around.podsKnown || w.workload.Pods == 0:
		text = "the pods of " + of
	}
	if verb == "" {
		return text
	}
	if one {
		verb += "s"
	}
	return text + " " + verb
}

// portName is a port as people know it.
func (w words) portName(port session.InterceptedPort) string {
	number := strconv.Itoa(port.Port)
	if port.Protocol == "UDP" {
		number += "/UDP"
	}
	for _, p := range w.workload.Ports {
		if p.Port == port.Port && p.Protocol == port.Protocol && p.Name != "" {
			return "port " + p.Name + " (" + number + ")"
		}
	}
	return "port " + number
}

// destination is where traffic goes.
func destination(local string) string {
	host, _, _ := net.SplitHostPort(local)
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() {
		return local + " on this laptop"
	}
	return local + ", by way of this laptop"
}

// requestWords says which requests are meant.
func requestWords(s session.Intercept) string {
	var parts []string
	if s.Key != "" {
		parts = append(parts, preview.Header+": "+s.Key)
	}
	verbs := map[string]string{"exact": ": ", "prefix": " beginning with ", "regex": " matching "}
	for _, c := range s.Where {
		parts = append(parts, c.Header+verbs[c.How]+c.Value)
	}
	if s.Path != nil {
		parts = append(parts, "a path "+map[string]string{"exact": "that is ", "prefix": "beginning with ", "regex": "matching "}[s.Path.How]+s.Path.Value)
	}
	return strings.Join(parts, " and ")
}

// way is how the gateway is going to redirect traffic, as far as can be told from here, and why.
func (w words) way() (mode v1alpha1.RedirectMode, why string) {
	set := v1alpha1.RedirectMode(w.around.policy.Redirect)
	switch level := w.around.level; {
	case w.wish.redirect != v1alpha1.RedirectAuto:
		return w.wish.redirect, "as you have asked"
	case w.around.policyKnown && set != v1alpha1.RedirectAuto && set != "":
		return set, "as the gateway is set to"
	case level == "baseline" || level == "restricted":
		return v1alpha1.RedirectUnprivileged, "because namespace " + w.workload.Namespace + " enforces the Pod Security level " + level
	case w.found.Template.Spec.HostUsers != nil && !*w.found.Template.Spec.HostUsers:
		return v1alpha1.RedirectUnprivileged, "because the pods have a user namespace"
	}
	return v1alpha1.RedirectInstant, ""
}

// redirect says how traffic is made to reach the sidecars.
func (w words) redirect() string {
	mode, why := w.way()
	because := ""
	if why != "" {
		because = ", " + why
	}
	if mode == v1alpha1.RedirectUnprivileged {
		return "A sidecar is added to the running pods, and the Service is pointed at it until you leave (the unprivileged way" + because +
			"). No pod is restarted. What calls pods by their own addresses is not redirected."
	}
	return "A sidecar is added to the running pods, and the kernel hands it new connections of the port (the instant way" + because +
		"). No pod is restarted, no Service or manifest changes."
}

// openConnections says what becomes of connections that are open already.
func (w words) openConnections() string {
	switch w.wish.takeover {
	case v1alpha1.TakeoverForce:
		return "Connections that callers have open are closed at once, whatever is under way in them."
	case v1alpha1.TakeoverNone:
		return "Connections that callers have open already stay with the app until they end."
	}
	return "Connections that callers have open are closed as they fall idle, so that callers open new ones."
}

// ends says when and how it is over.
func (w words) ends() string {
	limit := w.around.policy.MaxDuration
	if w.wish.expires > 0 && (limit == 0 || w.wish.expires < limit) {
		limit = w.wish.expires
	}
	in := "when its time is over"
	if limit > 0 {
		in = "after " + durationWords(limit)
	}
	return "It ends when you leave it or disconnect, and by itself " + in + ". The sidecar's record stays in each pod until that is replaced."
}

// obstacle is why the intercept can't be, whoever else intercepts what.
func (w words) obstacle(gateway string) *problem.Problem {
	spec := w.found.Template.Spec
	switch {
	case w.around.policyKnown && !w.around.policy.Intercepts:
		return problem.New(problem.InterceptRefused, "Ask who runs the gateway for the chart value intercepts.enabled.", "the gateway is set to allow no intercepts")
	case w.workload.Namespace == gateway:
		return problem.New(problem.InterceptRefused, "Choose a workload of another namespace.", "the gateway's own namespace can't be intercepted")
	case spec.HostNetwork:
		return problem.New(problem.InterceptRefused, "", "the pods of %s use their nodes' network (hostNetwork): a redirect would take the nodes' traffic", w.found)
	case spec.OS != nil && spec.OS.Name == core.Windows || spec.NodeSelector[core.LabelOSStable] == string(core.Windows):
		return problem.New(problem.InterceptRefused, "", "the pods of %s run on Windows, where sidecars can't", w.found)
	}
	if mode, why := w.way(); mode == v1alpha1.RedirectUnprivileged {
		for _, port := range w.shown.Ports {
			if p, ok := w.port(port); !ok || p.Service == "" {
				return problem.New(problem.InterceptRefused, "Make a Service that selects the pods, or intercept a port that one leads to.",
					"port %d of %s has no Service, which the unprivileged way needs (%s)", port.Port, w.found, cmp.Or(why, "the gateway chooses it"))
			}
		}
	}
	return nil
}

func (w words) port(port session.InterceptedPort) (PreviewedPort, bool) {
	i := slices.IndexFunc(w.workload.Ports, func(p PreviewedPort) bool { return p.Port == port.Port && p.Protocol == port.Protocol })
	if i < 0 {
		return PreviewedPort{}, false
	}
	return w.workload.Ports[i], true
}

// warnings are what may surprise.
func (w words) warnings() []string {
	var all []string
	for _, port := range w.shown.Ports {
		p, known := w.port(port)
		switch {
		case !known:
			all = append(all, fmt.Sprintf("Neither a container nor a Service of %s names port %d. It is redirected as soon as the app listens on it.", w.found, port.Port))
		case p.TLS && !w.shown.All:
			all = append(all, fmt.Sprintf("%s seems to speak TLS, which can't be looked into: its requests go to the app. All traffic of it can be intercepted.", capital(w.portName(port))))
		}
	}
	if w.around.podsKnown && len(w.around.pods) == 0 {
		all = append(all, fmt.Sprintf("%s has no pods at the moment; the intercept would have nothing to take.", capital(w.found.String())))
	}
	return all
}

// durationWords says a duration in its largest units.
func durationWords(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// asSentence makes a sentence of what an error or a note says.
func asSentence(text string) string { return strings.TrimSuffix(capital(text), ".") + "." }
