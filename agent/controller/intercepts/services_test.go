// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func TestUnprivileged(t *testing.T) {
	for name, target := range map[string]intstr.IntOrString{"named": intstr.FromString("http"), "numeric": intstr.FromInt32(8080)} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.w.level = "restricted"
			s.pod("api-a")
			s.pod("api-b")
			before := s.service("api", target).DeepCopy()
			s.intercept("ana", key("ana"))
			s.look()
			if c := s.last.injections[0].container; c.SecurityContext.Capabilities.Add != nil {
				t.Errorf("capabilities %v", c.SecurityContext.Capabilities.Add)
			}
			if leads := s.w.services[0].Spec.Ports[0].TargetPort; leads != target {
				t.Fatalf("the service leads to %s before anybody listens", leads.String())
			}
			s.settle()
			s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
			status := s.get("api-ana").Status
			if status.Redirect != v1alpha1.RedirectUnprivileged || !strings.Contains(status.RedirectReason, "Pod Security level restricted") {
				t.Errorf("%s: %s", status.Redirect, status.RedirectReason)
			}
			if leads := s.w.services[0].Spec.Ports[0].TargetPort; leads != intstr.FromInt32(28080) {
				t.Fatalf("the service leads to %s", leads.String())
			}

			// A pod that nobody listens in: the Service goes back before it can be called.
			s.mute = true
			s.pod("api-c")
			s.look()
			if leads := s.w.services[0].Spec.Ports[0].TargetPort; leads != target {
				t.Fatalf("the service leads to %s although a pod is not covered", leads.String())
			}
			s.mute = false
			s.settle()
			s.wantPhase("api-ana", v1alpha1.InterceptActive, "")

			s.get("api-ana").Spec.Leaving = true
			s.look()
			service := s.w.services[0].DeepCopy()
			service.ResourceVersion = before.ResourceVersion
			if service.Spec.Ports[0] != before.Spec.Ports[0] || len(service.Annotations) != 0 {
				t.Errorf("the service is %+v", service)
			}
			s.work(wire.Accepted)
			s.look()
			s.wantPhase("api-ana", v1alpha1.InterceptEnded, "left")
			if ports := s.sidecars.pods["api-a"].Order.Ports; len(ports) != 1 || len(ports[0].Rules) != 0 || ports[0].Listen != 28080 {
				t.Fatalf("sidecars don't go on listening for those who have not heard: %+v", ports)
			}
			s.w.now = s.w.now.Add(passFor + time.Millisecond)
			s.settle()
			if ports := s.sidecars.pods["api-a"].Order.Ports; len(ports) != 0 {
				t.Errorf("sidecars still listen: %+v", ports)
			}
		})
	}
}

func TestRefusedCapabilitiesLeadToTheOtherWay(t *testing.T) {
	s := newStage(t)
	s.refuse = "the cluster refuses it"
	s.pod("api-a")
	s.service("api", intstr.FromInt32(8080))
	s.intercept("ana")
	s.look()
	s.w.now = s.w.now.Add(time.Second)
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	if reason := s.get("api-ana").Status.RedirectReason; reason != "the instant way is not possible: the cluster refuses it" {
		t.Errorf("reason %q", reason)
	}
	s.get("api-ana").Spec.Redirect = v1alpha1.RedirectInstant
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptRefused, "the instant way is not possible: the cluster refuses it")
}

func TestServiceOfOthersToo(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.pod("canary", func(p *corev1.Pod) { p.OwnerReferences = nil })
	s.service("api", intstr.FromInt32(8080))
	s.intercept("ana", redirect(v1alpha1.RedirectUnprivileged))
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptRefused, "the intercept asks for it; the unprivileged way needs Services: service api also selects pod canary, which is not meant")
}

func TestServiceThatNobodyWantsIsPutBack(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.service("api", intstr.FromInt32(8080))
	s.intercept("ana", redirect(v1alpha1.RedirectUnprivileged))
	s.settle()
	if s.w.services[0].Spec.Ports[0].TargetPort == intstr.FromInt32(8080) {
		t.Fatal("not pointed")
	}
	s.w.intercepts = nil
	s.m = newMemory() // another gateway
	s.w.started = s.w.now
	s.look()
	if s.w.services[0].Spec.Ports[0].TargetPort != intstr.FromInt32(8080) || len(s.w.services[0].Annotations) != 0 {
		t.Errorf("%+v", s.w.services[0])
	}
}

func TestPortThatSomethingElseHas(t *testing.T) {
	s := newStage(t)
	s.taken = map[uint16]bool{28080: true, 28081: true}
	s.pod("api-a")
	s.service("api", intstr.FromInt32(8080))
	s.intercept("ana", redirect(v1alpha1.RedirectUnprivileged))
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	if leads := s.w.services[0].Spec.Ports[0].TargetPort; leads != intstr.FromInt32(28082) {
		t.Errorf("the service leads to %s", leads.String())
	}
}

func TestRestartLeavesServicesAtTheirSidecars(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.service("api", intstr.FromInt32(8080))
	s.intercept("ana", redirect(v1alpha1.RedirectUnprivileged))
	s.settle()
	s.m = newMemory()
	s.w.started = s.w.now
	clear(s.sidecars.pods)
	clear(s.sidecars.states)
	for range 3 {
		s.look()
		if leads := s.w.services[0].Spec.Ports[0].TargetPort; leads != intstr.FromInt32(28080) {
			t.Fatalf("the service leads to %s", leads.String())
		}
		s.work(wire.Accepted)
	}
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
}
