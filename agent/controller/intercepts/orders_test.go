// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func TestProbes(t *testing.T) {
	probe := func(h corev1.ProbeHandler) *corev1.Probe { return &corev1.Probe{ProbeHandler: h} }
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Ports:          []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}},
		StartupProbe:   probe(corev1.ProbeHandler{Exec: &corev1.ExecAction{}}),
		LivenessProbe:  probe(corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("web"), Path: "/live", Scheme: corev1.URISchemeHTTPS}}),
		ReadinessProbe: probe(corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}),
	}, {
		LivenessProbe:  probe(corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090}}),
		ReadinessProbe: probe(corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8080), Host: "elsewhere.test"}}),
	}}}}
	for p, want := range map[port][]wire.Probe{
		{Number: 8080, Protocol: "TCP"}: {{Kind: "https", Path: "/live"}, {Kind: "tcp"}},
		{Number: 9090, Protocol: "TCP"}: {{Kind: "grpc"}},
		{Number: 8080, Protocol: "UDP"}: nil,
		{Number: 80, Protocol: "TCP"}:   nil,
	} {
		if got := probesOf(pod, p); !slices.Equal(got, want) {
			t.Errorf("port %v: %v, want %v", p, got, want)
		}
	}
}

func TestSpeaks(t *testing.T) {
	for name, c := range map[string]struct{ app, service, container, want string }{
		"nothing is said":            {},
		"by the Service's protocol":  {app: "kubernetes.io/h2c", service: "http", want: "h2c"},
		"by the Service port's name": {service: "grpc-api", container: "http", want: "h2c"},
		"by the container's":         {container: "https", want: "tls"},
		"an unknown protocol":        {app: "example.com/mine", service: "http", want: "http"},
		"a database":                 {app: "redis", want: "other"},
		"a name that says nothing":   {service: "main", container: "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.pod("api-a", func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].Name = c.container })
			service := s.service("api", intstr.FromInt32(8080))
			service.Spec.Ports[0].Name = c.service
			if c.app != "" {
				service.Spec.Ports[0].AppProtocol = &c.app
			}
			if got := speaks(&s.w, s.w.members()[0], port{Number: 8080, Protocol: "TCP"}); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestOrderOfSeveralPorts(t *testing.T) {
	s := newStage(t)
	s.pod("api-a", func(p *corev1.Pod) { p.Status.HostIPs = []corev1.HostIP{{IP: "192.0.2.7"}} })
	s.intercept("ana", func(i *v1alpha1.Intercept) {
		i.Spec.Takeover = v1alpha1.TakeoverNone
		i.Spec.Ports = []v1alpha1.InterceptPort{{Port: 9090, TunnelPort: 4000}, {Port: 53, Protocol: "UDP", TunnelPort: 4001}}
	})
	s.intercept("ben", func(i *v1alpha1.Intercept) {
		i.Spec.Takeover, i.Spec.Mirror = v1alpha1.TakeoverForce, true
		i.Spec.Ports = []v1alpha1.InterceptPort{{Port: 9090, TunnelPort: 5000}}
	})
	s.settle()
	got := s.sidecars.pods["api-a"]
	got.Order.Revision = 0
	want := wire.Order{
		Linger:        60,
		PodAddresses:  []netip.Addr{netip.MustParseAddr("10.244.0.2")},
		NodeAddresses: []netip.Addr{netip.MustParseAddr("10.244.0.1"), netip.MustParseAddr("192.0.2.7")},
		Ports: []wire.PortOrder{
			{Port: 53, Protocol: "UDP", Takeover: "None", Rules: []wire.Rule{{Intercept: "api-ana"}}},
			{Port: 9090, Protocol: "TCP", Takeover: "Force", Rules: []wire.Rule{{Intercept: "api-ana"}, {Intercept: "api-ben", Mirror: true}}},
		},
	}
	if diff := cmp.Diff(want, got.Order, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if target := got.Targets["api-ana"]; target.TunnelPort != 4000 || !reflect.DeepEqual(target.Ports, map[port]uint16{{Number: 53, Protocol: "UDP"}: 4001}) {
		t.Errorf("target %+v", target)
	}
}

func TestChain(t *testing.T) {
	yes := true
	owned := func(apiVersion, kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: &yes}}
	}
	w := &world{replicaSets: map[string]owner{"web-1": {"Rollout", "web"}, "alone": {}}}
	pod := workload{"Pod", "p"}
	for name, c := range map[string]struct {
		owners []metav1.OwnerReference
		want   []workload
	}{
		"bare":                  {nil, []workload{pod}},
		"Argo Rollout":          {owned("apps/v1", "ReplicaSet", "web-1"), []workload{pod, {"ReplicaSet", "web-1"}, {"Rollout", "web"}}},
		"ReplicaSet of nobody":  {owned("apps/v1", "ReplicaSet", "alone"), []workload{pod, {"ReplicaSet", "alone"}}},
		"StatefulSet":           {owned("apps/v1", "StatefulSet", "db"), []workload{pod, {"StatefulSet", "db"}}},
		"Job":                   {owned("batch/v1", "Job", "once"), []workload{pod, {"Job", "once"}}},
		"a kind of others":      {owned("example.com/v1", "StatefulSet", "db"), []workload{pod}},
		"a node's own pod":      {owned("v1", "Node", "node1"), []workload{pod}},
		"one that owns, merely": {[]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"}}, []workload{pod}},
	} {
		if got := w.chain(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", OwnerReferences: c.owners}}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
