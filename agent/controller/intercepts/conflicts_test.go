// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

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
