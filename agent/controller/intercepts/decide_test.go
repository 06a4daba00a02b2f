// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

func TestFromNothingToActiveAndBack(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.pod("api-b")
	s.pod("other", func(p *corev1.Pod) { p.OwnerReferences = nil })
	s.intercept("ana", key("ana-7f3c"))
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptPending, "2 of 2 pods are not covered yet: api-a: its sidecar is being started (the first time on a node, the image is pulled)")
	if len(s.last.injections) != 2 {
		t.Fatalf("%d sidecars were added, want 2", len(s.last.injections))
	}
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	status := s.get("api-ana").Status
	if status.PodsReady != 2 || status.PodsCovered != 2 || status.Redirect != v1alpha1.RedirectInstant || status.Since == nil ||
		!status.Expires.Time.Equal(noon.Add(24*time.Hour)) || len(status.Local) != 1 || !status.Local[0].Listening || status.Local[0].Address != "127.0.0.1:3000" {
		t.Errorf("status %+v", status)
	}
	order := s.sidecars.pods["api-a"]
	if order.Targets["api-ana"].TunnelPort != 4000 || order.Targets["api-ana"].Connection != "ana-1" || order.Container != "fairlead-1" ||
		len(order.Order.Ports) != 1 || order.Order.Ports[0].Takeover != "Gentle" || order.Order.Ports[0].Rules[0].Match.Key != "ana-7f3c" {
		t.Errorf("order %+v", order)
	}
	if _, ordered := s.sidecars.pods["other"]; ordered {
		t.Error("a pod that is not meant has an order")
	}

	s.get("api-ana").Spec.Leaving = true
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	if len(s.sidecars.pods["api-a"].Order.Ports) != 0 {
		t.Error("a sidecar still has orders")
	}
	s.work(wire.Accepted)
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptEnded, "left")

	s.w.intercepts = nil // its owner deletes it
	s.w.now = s.w.now.Add(linger + 10*time.Second)
	s.look()
	if len(s.sidecars.removed) != 2 || len(s.sidecars.pods) != 0 {
		t.Errorf("sidecars let go: %v", s.sidecars.removed)
	}
}

func TestWhoLeavesDoesNotWaitForSidecarsForever(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	s.mute = true
	s.get("api-ana").Spec.Leaving = true
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	s.w.now = s.w.now.Add(endTimeout + time.Millisecond)
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptEnded, "left")
}

func TestSidecarsAreUsedAgainWhileTheyWait(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	s.w.intercepts = nil
	s.settle()
	s.intercept("ben")
	s.settle()
	s.wantPhase("api-ben", v1alpha1.InterceptActive, "")
	if n := len(s.find("api-a").Spec.EphemeralContainers); n != 1 {
		t.Errorf("the pod has %d sidecars, want 1", n)
	}
}

func TestConflicts(t *testing.T) {
	header := func(value string) func(*v1alpha1.Intercept) {
		return func(i *v1alpha1.Intercept) {
			i.Spec.Match = &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{{Name: "x-who", ValueMatch: v1alpha1.ValueMatch{Prefix: &value}}}}
		}
	}
	all := func(*v1alpha1.Intercept) {}
	mirror := func(i *v1alpha1.Intercept) { i.Spec.Mirror = true }
	port := func(n int32) func(*v1alpha1.Intercept) {
		return func(i *v1alpha1.Intercept) { i.Spec.Ports[0].Port = n }
	}
	onPod := func(name string) func(*v1alpha1.Intercept) {
		return func(i *v1alpha1.Intercept) {
			i.Spec.Workload = v1alpha1.WorkloadReference{Kind: "Pod", Name: name}
		}
	}
	for name, c := range map[string]struct {
		first, second func(*v1alpha1.Intercept)
		beside        bool
		refused       string // how the message begins; empty: both are active
	}{
		"two of everything":          {first: all, second: all, refused: "ana has all traffic of port 8080 of deployment api since 12:00:00 UTC: ask them to leave"},
		"different keys":             {first: key("ana"), second: key("ben")},
		"the same key":               {first: key("same"), second: key("same"), refused: "ana has the requests with the key same of port 8080 of deployment api since"},
		"overlapping headers":        {first: header("a"), second: header("ab"), refused: "ana has the requests with the header x-who a… of"},
		"different headers":          {first: header("a"), second: header("b")},
		"personal beside everything": {first: all, second: key("ben"), refused: "ana has all traffic of port 8080 of deployment api since 12:00:00 UTC, and personal intercepts beside that are not allowed here"},
		"everything beside personal": {first: key("ana"), second: all, refused: "ana has the requests with the key ana of port 8080 of deployment api since"},
		"allowed by policy":          {first: all, second: key("ben"), beside: true},
		"a mirror":                   {first: all, second: mirror},
		"another port":               {first: all, second: port(9090)},
		"a pod of the workload":      {first: all, second: onPod("api-a"), refused: "ana has all traffic of port 8080 of deployment api since"},
		"two pods":                   {first: onPod("api-a"), second: onPod("api-b")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.w.policy.PersonalBesideAll = c.beside
			s.pod("api-a")
			s.pod("api-b")
			s.intercept("ana", c.first)
			s.w.now = s.w.now.Add(time.Minute)
			s.intercept("ben", c.second)
			slices.Reverse(s.w.intercepts) // the order of a list says nothing
			s.settle()
			s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
			if c.refused == "" {
				s.wantPhase("api-ben", v1alpha1.InterceptActive, "")
				return
			}
			status := s.get("api-ben").Status
			if status.Phase != v1alpha1.InterceptRefused || !strings.HasPrefix(status.Message, c.refused) {
				t.Fatalf("%s: %q", status.Phase, status.Message)
			}
			s.get("api-ana").Spec.Leaving = true
			s.settle()
			s.wantPhase("api-ben", v1alpha1.InterceptActive, "")
		})
	}
}

func TestRefusedOneDoesNotTakeThePlaceOfAYoungerOne(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana", key("ana"))
	s.w.now = s.w.now.Add(time.Minute)
	s.intercept("ben") // all, refused
	s.w.now = s.w.now.Add(time.Minute)
	s.intercept("cleo", key("cleo"))
	s.settle()
	s.wantPhase("api-cleo", v1alpha1.InterceptActive, "")
	s.get("api-ana").Spec.Leaving = true
	s.settle()
	s.wantPhase("api-cleo", v1alpha1.InterceptActive, "")
	if phase := s.get("api-ben").Status.Phase; phase != v1alpha1.InterceptRefused {
		t.Errorf("ben is %s", phase)
	}
}

func TestRulesComeInOrder(t *testing.T) {
	s := newStage(t)
	s.w.policy.PersonalBesideAll = true
	s.pod("api-a")
	for i, f := range []func(*v1alpha1.Intercept){func(i *v1alpha1.Intercept) { i.Spec.Mirror = true }, func(*v1alpha1.Intercept) {}, key("first"), key("second")} {
		s.w.now = s.w.now.Add(time.Minute)
		s.intercept("ana", f, func(o *v1alpha1.Intercept) {
			o.Name = fmt.Sprintf("n%d", i)
			o.UID = types.UID(o.Name)
		})
	}
	s.settle()
	var got []string
	for _, rule := range s.sidecars.pods["api-a"].Order.Ports[0].Rules {
		kind := "all"
		if rule.Match != nil {
			kind = rule.Match.Key
		}
		if rule.Mirror {
			kind = "mirror"
		}
		got = append(got, kind)
	}
	if !slices.Equal(got, []string{"first", "second", "all", "mirror"}) {
		t.Errorf("rules %v", got)
	}
}

func TestWhatCantBe(t *testing.T) {
	tests := map[string]struct {
		change  func(*v1alpha1.Intercept)
		pod     func(*corev1.Pod)
		phase   v1alpha1.InterceptPhase
		message string
	}{
		"somebody else's connection": {
			change: func(i *v1alpha1.Intercept) { i.Spec.Connection.Name = "ben-1" },
			phase:  v1alpha1.InterceptRefused, message: "the connection ben-1 belongs to ben, and the intercept to ana",
		},
		"another gateway's connection": {
			change: func(i *v1alpha1.Intercept) { i.Spec.Connection.Namespace = "shop" },
			phase:  v1alpha1.InterceptRefused, message: "the connection must be one of this gateway, in namespace fairlead",
		},
		"a container that is not there": {
			change: func(i *v1alpha1.Intercept) { i.Spec.Workload.Container = "nginx" },
			phase:  v1alpha1.InterceptRefused, message: "pod api-a has no container nginx",
		},
		"host network": {
			pod:   func(p *corev1.Pod) { p.Spec.HostNetwork = true },
			phase: v1alpha1.InterceptRefused, message: "pod api-a uses its node's network (hostNetwork): a redirect would take the node's traffic",
		},
		"Windows": {
			pod:   func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} },
			phase: v1alpha1.InterceptRefused, message: "pod api-a runs on Windows, where sidecars can't",
		},
		"a regular expression that is none": {
			change: func(i *v1alpha1.Intercept) {
				bad := "("
				i.Spec.Match = &v1alpha1.Match{Path: &v1alpha1.ValueMatch{Regex: &bad}}
			},
			phase:   v1alpha1.InterceptRefused,
			message: "path: the regular expression can't be read (RE2 syntax): error parsing regexp: missing closing ): `(`",
		},
		"some of the datagrams": {
			change: func(i *v1alpha1.Intercept) { key("k")(i); i.Spec.Ports[0].Protocol = "UDP" },
			phase:  v1alpha1.InterceptRefused, message: "port 8080/UDP is UDP, where requests can't be told apart: intercept all of it",
		},
		"no such workload": {
			change: func(i *v1alpha1.Intercept) { i.Spec.Workload.Name = "nothing" },
			phase:  v1alpha1.InterceptRefused, message: "there is no deployment nothing in namespace shop",
		},
		"no ready pod": {
			pod:   func(p *corev1.Pod) { p.Status.Conditions = nil },
			phase: v1alpha1.InterceptPending, message: "no pod is ready",
		},
		"a static pod": {
			pod:   func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} },
			phase: v1alpha1.InterceptRefused, message: "pod api-a is a static pod of its node, to which Kubernetes adds no containers",
		},
		"instant in a user namespace": {
			change: redirect(v1alpha1.RedirectInstant),
			pod:    func(p *corev1.Pod) { no := false; p.Spec.HostUsers = &no },
			phase:  v1alpha1.InterceptRefused, message: "the instant way is not possible: pod api-a has a user namespace (hostUsers: false), where the kernel lets nobody redirect",
		},
		"unprivileged without a Service": {
			change: redirect(v1alpha1.RedirectUnprivileged),
			phase:  v1alpha1.InterceptRefused, message: "the intercept asks for it; the unprivileged way needs Services: no Service leads to port 8080",
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			change := func(*corev1.Pod) {}
			if c.pod != nil {
				change = c.pod
			}
			s.pod("api-a", change)
			spec := func(*v1alpha1.Intercept) {}
			if c.change != nil {
				spec = c.change
			}
			s.intercept("ana", spec)
			s.settle()
			s.w.now = s.w.now.Add(writeEvery)
			s.settle()
			s.wantPhase("api-ana", c.phase, c.message)
		})
	}
}

func TestSilentLaptop(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	s.heardAt["ana-1"] = s.w.now
	s.w.now = s.w.now.Add(silentAfter + time.Second)
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptSuspended, "the laptop has not been heard since 12:00:00 UTC; everything goes to the app meanwhile")
	if !s.sidecars.pods["api-a"].Order.Ports[0].Rules[0].Suspended {
		t.Error("the rule is not suspended")
	}
	s.heardAt["ana-1"] = s.w.now
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	if s.get("api-ana").Status.SilentSince != nil {
		t.Error("it is still said to be silent")
	}

	s.w.now = s.w.now.Add(defaultRemoveAfter)
	s.settle()
	s.w.started = s.w.now // a gateway that starts anew knows from the status
	s.m = newMemory()
	s.heardAt["ana-1"] = time.Time{}
	s.settle()
	if phase := s.get("api-ana").Status.Phase; phase != v1alpha1.InterceptSuspended {
		t.Errorf("it is %s after a restart", phase)
	}
	s.w.now = s.w.now.Add(settleAfter + time.Second)
	s.settle()
	if len(s.w.intercepts) != 0 {
		t.Errorf("it was not removed: %+v", s.w.intercepts[0].Status)
	}
}

func TestRestartOfTheGateway(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	s.report("api-a", 10)
	s.w.now = s.w.now.Add(2 * time.Second)
	s.settle()
	if n := s.get("api-ana").Status.Counts.Matched; n != 10 {
		t.Fatalf("%d matched, want 10", n)
	}
	before := s.get("api-ana").Status

	s.m = newMemory()
	s.w.started = s.w.now
	for uid := range s.sidecars.pods {
		delete(s.sidecars.pods, uid)
		delete(s.sidecars.states, uid)
	}
	s.heardAt["ana-1"] = time.Time{} // not heard yet
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	if len(s.last.injections) != 0 {
		t.Error("another sidecar was added")
	}
	s.work(wire.Accepted)
	s.report("api-a", 12)
	delete(s.heardAt, "ana-1")
	s.look()
	s.report("api-a", 15)
	s.w.now = s.w.now.Add(2 * time.Second)
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	after := s.get("api-ana").Status
	if after.Counts.Matched != 13 || !after.Since.Equal(before.Since) {
		t.Errorf("%d matched, want 13; since %s, want %s", after.Counts.Matched, after.Since, before.Since)
	}
}

// report has a pod's sidecar say how many requests it took for ana.
func (s *stage) report(pod string, matched int64) {
	for uid, p := range s.sidecars.pods {
		if p.Name == pod {
			state := s.sidecars.states[uid]
			for i := range state.Report.Rules {
				state.Report.Rules[i].Matched = matched
			}
			s.sidecars.states[uid] = state
		}
	}
}

func TestDeadSidecarIsReplaced(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	s.report("api-a", 7)
	kill := func() {
		pod := s.find("api-a")
		last := &pod.Status.EphemeralContainerStatuses[len(pod.Status.EphemeralContainerStatuses)-1]
		last.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}
		state := s.sidecars.states["api-a"]
		state.Connected, state.Since = false, s.w.now
		s.sidecars.states["api-a"] = state
	}
	kill()
	s.w.now = s.w.now.Add(3 * time.Second)
	s.look()
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	if names := containers(s.find("api-a")); !slices.Equal(names, []string{"fairlead-1", "fairlead-2"}) {
		t.Errorf("sidecars %v", names)
	}
	for range 100 {
		kill()
		s.settle()
	}
	if n := len(containers(s.find("api-a"))); n != 2 && n != 3 {
		t.Errorf("%d sidecars at once, though they die", n)
	}
	for range 100 {
		kill()
		s.w.now = s.w.now.Add(time.Minute + time.Second)
		s.settle()
	}
	if n := len(containers(s.find("api-a"))); n != maxFailed {
		t.Errorf("%d sidecars in all, want %d", n, maxFailed)
	}
	if message := s.get("api-ana").Status.Message; !strings.Contains(message, "again and again") {
		t.Errorf("message %q", message)
	}
}

func containers(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	return names
}

func TestExpiry(t *testing.T) {
	s := newStage(t)
	s.w.policy.MaxDuration = 2 * time.Hour
	s.pod("api-a")
	s.intercept("ana", func(i *v1alpha1.Intercept) { i.Spec.Expires = &metav1.Time{Time: noon.Add(time.Hour)} })
	s.intercept("ben", func(i *v1alpha1.Intercept) {
		i.Spec.Expires, i.Spec.Ports[0].Port = &metav1.Time{Time: noon.Add(9 * time.Hour)}, 9090
	})
	s.settle()
	if got := s.get("api-ben").Status.Expires; !got.Time.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("ben's expires at %s", got)
	}
	s.w.now = noon.Add(time.Hour)
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptEnded, "it has expired at 13:00:00 UTC")
	s.wantPhase("api-ben", v1alpha1.InterceptActive, "")
	s.w.now = s.w.now.Add(keepEnded + time.Second)
	s.settle()
	if len(s.w.intercepts) != 1 {
		t.Error("an expired intercept was not deleted")
	}
}

func TestConnectionGone(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	delete(s.w.connections, "ana-1")
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptPending, "looking for the connection ana-1")
	if !slices.Equal(s.last.connections, []string{"ana-1"}) {
		t.Fatalf("to be asked for: %v", s.last.connections)
	}
	s.m.connections["ana-1"] = absent
	s.look()
	for s.get("api-ana").Status.Phase != v1alpha1.InterceptEnded {
		if len(s.last.deletions) > 0 {
			t.Fatal("it is deleted before it says that it ended")
		}
		s.work(wire.Accepted)
		s.look()
	}
	if len(s.last.deletions) > 0 {
		t.Error("it is deleted while it still says that it ended")
	}
	s.settle()
	if len(s.w.intercepts) != 0 || len(s.sidecars.pods["api-a"].Order.Ports) != 0 {
		t.Error("it goes on without its connection")
	}
}

func TestNotes(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana", key("ana"))
	s.settle()
	s.work(wire.NobodyListens)
	state := s.sidecars.states["api-a"]
	state.Report.Ports[0].Bypassing = 3
	state.Report.Rules[0].Unreadable = 2
	s.sidecars.states["api-a"] = state
	s.w.now = s.w.now.Add(time.Second)
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	want := []string{
		"nothing listens on 127.0.0.1:3000; requests go to the cluster meanwhile",
		"3 connections that were open before still go to the app (--takeover force closes them)",
		"2 connections could not be looked into, as with TLS, and went to the app: only an intercept of all traffic takes them",
		"Kubernetes keeps a record of the sidecar (an ephemeral container) in each pod until the pod is replaced",
	}
	if got := s.get("api-ana").Status.Notes; !slices.Equal(got, want) {
		t.Errorf("notes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBirths(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	root := workload{"Deployment", "api"}
	if birth := s.last.births[root]; birth.mode != injector.Instant || !slices.Equal(birth.refs, []workload{root}) {
		t.Errorf("births %+v", s.last.births)
	}
	s.get("api-ana").Spec.Leaving = true
	s.look()
	if len(s.last.births) != 0 {
		t.Errorf("births %+v after the end", s.last.births)
	}
}
