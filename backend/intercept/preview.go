// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/preview"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// Preview says what an intercept would do, before it does it. It is plain data.
type Preview struct {
	Workload PreviewedWorkload
	Header   string // as in session.Intercept, like the three that follow
	Baggage  string
	Curl     string
	Share    string
	Touches  []string         // what will happen and to whom, a sentence each
	Warnings []string         // what may surprise
	Problem  *problem.Problem // why it would be refused; nil if nothing speaks against it
	Key      string           // the one given, or one made up that the intercept should be asked for with
}

// PreviewedWorkload is what a Preview is about, with what can be picked.
type PreviewedWorkload struct {
	Namespace  string
	Kind       string
	Name       string
	Pods       int // that would be covered
	Containers []string
	Ports      []PreviewedPort
}

// PreviewedPort is a port that can be intercepted.
type PreviewedPort struct {
	Name      string
	Port      int
	Protocol  string // TCP or UDP
	Container string // that declares it
	Service   string // how callers name it, such as api:80; empty where no Service leads to it
	TLS       bool   // by its name or protocol
	Busy      string // who intercepts it, and what
}

// surroundings are what a Preview needs to know of the cluster besides the workload. What could not be found out is not
// known: who may intercept need not have the right to look at pods.
type surroundings struct {
	pods        []core.Pod
	podsKnown   bool
	others      []v1alpha1.Intercept
	level       string // of Pod Security
	policy      cluster.Policy
	policyKnown bool
}

// Preview says what Create would do with a request, and changes nothing. A request that can't be is no error: the Preview
// says so. An error is of what stands before that: no connection, or no such workload. Errors are *problem.Problem.
func (m *Manager) Preview(ctx context.Context, r Request) (Preview, error) {
	t, _, ok := m.now()
	if !ok {
		return Preview{}, notConnected()
	}
	found, err := t.Access.FindWorkload(ctx, cmp.Or(r.Namespace, t.Access.Namespace()), r.Workload)
	if err != nil {
		return Preview{}, err
	}
	around := lookAround(ctx, t, found)
	p := Preview{Workload: describeWorkload(found, around), Touches: []string{}, Warnings: []string{}, Key: r.Key}
	wish, err := r.read(t.User)
	if err != nil {
		p.Problem = problem.From(err)
		return p, nil
	}
	object, targets, err := compose(r, wish, found, t)
	if err != nil {
		p.Problem = problem.From(err)
		return p, nil
	}
	held := m.same(object, wish)
	if i := slices.IndexFunc(around.others, func(o v1alpha1.Intercept) bool { return held != "" && string(o.UID) == held }); i >= 0 {
		object.Spec.Match = around.others[i].Spec.Match // with the key that was made up then
		around.others = slices.Delete(around.others, i, i+1)
		p.Warnings = append(p.Warnings, "This laptop has this intercept already. It stays as it is.")
	}
	shown := Describe(object)
	addPreview(&shown, object, t.Access.Context())
	p.Header, p.Baggage, p.Curl, p.Share, p.Key = shown.Header, shown.Baggage, shown.Curl, shown.Share, shown.Key
	w := words{request: r, wish: wish, object: object, shown: shown, workload: p.Workload, around: around, found: found}
	p.Touches = w.touches()
	p.Problem = w.obstacle(t.GatewayNamespace)
	refused, warnings := conflict(object, around.others, around.policy, around.policyKnown, time.Now())
	if p.Problem == nil {
		p.Problem = refused
	}
	for _, warning := range warnings {
		if strings.HasPrefix(warning, "you ") { // but names of people are as they are
			warning = capital(warning)
		}
		p.Warnings = append(p.Warnings, warning+".")
	}
	p.Warnings = append(p.Warnings, w.warnings()...)
	for _, target := range sortedTargets(targets) {
		if !target.isListening(ctx) {
			p.Warnings = append(p.Warnings, asSentence(target.absent()+" yet; until a program does, "+meanwhile(r.Mirror)))
		}
	}
	return p, nil
}

// meanwhile says what becomes of requests while nothing listens.
func meanwhile(mirror bool) string {
	if mirror {
		return "copies go nowhere"
	}
	return "the app in the cluster gets these requests"
}

func sortedTargets(targets map[string]*target) []*target {
	var sorted []*target
	for _, t := range targets {
		sorted = append(sorted, t)
	}
	slices.SortFunc(sorted, func(a, b *target) int { return strings.Compare(a.address+a.protocol, b.address+b.protocol) })
	return sorted
}

// lookAround asks the cluster at the same time for all that a Preview needs to know.
func lookAround(ctx context.Context, t session.Tunnel, found *cluster.FoundWorkload) surroundings {
	var s surroundings
	var wait sync.WaitGroup
	wait.Go(func() {
		pods, err := t.Access.PodsOf(ctx, found)
		s.pods, s.podsKnown = pods, err == nil
	})
	wait.Go(func() { s.others, _ = t.Access.Intercepts(ctx, found.Namespace, "") })
	wait.Go(func() { s.level, _ = t.Access.PodSecurity(ctx, found.Namespace) })
	wait.Go(func() {
		if pods, err := t.Access.GatewayPods(ctx, t.GatewayNamespace); err == nil {
			s.policy, s.policyKnown = cluster.PolicyOf(pods)
		}
	})
	wait.Wait()
	return s
}

// describeWorkload says what of a workload can be picked.
func describeWorkload(found *cluster.FoundWorkload, around surroundings) PreviewedWorkload {
	w := PreviewedWorkload{Namespace: found.Namespace, Kind: found.Kind, Name: found.Name, Pods: len(around.pods), Containers: []string{}, Ports: []PreviewedPort{}}
	for _, c := range containersOf(found) {
		w.Containers = append(w.Containers, c.Name)
	}
	for _, known := range portsOf(found, "") {
		port := PreviewedPort{Name: known.name, Port: known.number, Protocol: known.protocol, TLS: preview.SpeaksTLS(core.ServicePort{Name: known.name, Port: int32(known.number)})}
		for _, c := range containersOf(found) {
			if slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool {
				return int(p.ContainerPort) == known.number && protocolOf(p.Protocol) == known.protocol
			}) {
				port.Container = cmp.Or(port.Container, c.Name)
			}
		}
		for _, s := range found.Services {
			for _, p := range s.Spec.Ports {
				if protocolOf(p.Protocol) == known.protocol && targetOf(found, p) == known.number {
					// What a Service says counts for more than the number of the container's port.
					port.TLS = preview.SpeaksTLS(p)
					port.Name = cmp.Or(port.Name, p.Name)
					port.Service = cmp.Or(port.Service, fmt.Sprintf("%s:%d", s.Name, p.Port))
				}
			}
		}
		port.TLS = port.TLS && known.protocol == "TCP"
		port.Busy = busy(found, known, around.others)
		w.Ports = append(w.Ports, port)
	}
	return w
}

// busy says who intercepts a port, and what of it.
func busy(found *cluster.FoundWorkload, port remotePort, others []v1alpha1.Intercept) string {
	probe := &v1alpha1.Intercept{Spec: v1alpha1.InterceptSpec{
		Workload: v1alpha1.WorkloadReference{Kind: found.Kind, Name: found.Name}, Ports: []v1alpha1.InterceptPort{{Port: int32(port.number), Protocol: port.protocol}},
	}}
	var all []string
	for i := range others {
		if _, meets := meet(probe, &others[i]); meets {
			all = append(all, others[i].Spec.User+": "+What(Describe(&others[i])))
		}
	}
	return strings.Join(all, "; ")
}
