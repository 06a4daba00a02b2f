// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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
