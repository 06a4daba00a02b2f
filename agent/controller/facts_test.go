// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

type fakeResolver map[string][]netip.Addr

func (f fakeResolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if found := f[host]; found != nil {
		return found, nil
	}
	return nil, errors.New("no such host")
}

func node(name, podRange string, addresses ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if podRange != "" {
		n.Spec.PodCIDRs = []string{podRange}
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, address := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
	}
	return n
}

func gatewayService(kind corev1.ServiceType, families ...corev1.IPFamily) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: "fairlead-gateway"},
		Spec: corev1.ServiceSpec{
			Type: kind, IPFamilies: families, ClusterIPs: []string{"10.96.5.5"},
			Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolUDP, Port: 51820, NodePort: 30820}},
		},
	}
}

func survey(t *testing.T, change func(*surveyor), objects ...client.Object) Facts {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), networkingv1.AddToScheme(scheme), metav1.AddMetaToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, object client.Object, options ...client.CreateOption) error {
			var applied client.CreateOptions
			applied.ApplyOptions(options)
			if len(applied.DryRun) == 0 {
				t.Errorf("%T is created for real", object)
			}
			return errors.New("the provided IP (0.0.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12")
		},
	}).Build()
	s := &surveyor{
		cluster: Cluster{Namespace: "fairlead", Service: "fairlead-gateway", NodeName: "node1", PodAddresses: addrs("10.244.0.9"), UDPType: UDPNodePort, UDPPort: 51820},
		cached:  api, direct: api, log: slog.New(slog.DiscardHandler), hasServiceCIDRs: true, resolver: fakeResolver{"lb.example.com": addrs("198.51.100.8 198.51.100.7")},
	}
	change(s)
	facts, err := s.survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func summary(f Facts) string {
	var parts []string
	for _, r := range f.Ranges {
		parts = append(parts, fmt.Sprintf("%s=%s(%s)", r.Kind, r.Range, r.Source))
	}
	return strings.Join(append(parts, strings.Join(f.Namespaces, ","), strings.Join(f.UDPEndpoints, ",")), " ")
}

func TestSurvey(t *testing.T) {
	serviceCIDR := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16"}}}
	nodePort := gatewayService(corev1.ServiceTypeNodePort, corev1.IPv4Protocol)
	balancer := gatewayService(corev1.ServiceTypeLoadBalancer, corev1.IPv4Protocol)
	balancer.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}, {Hostname: "nowhere.example.com"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
	pod.Status.PodIPs = []corev1.PodIP{{IP: "100.64.1.1"}}
	host := pod.DeepCopy()
	host.Name, host.Spec.HostNetwork, host.Status.PodIPs = "h", true, []corev1.PodIP{{IP: "192.0.2.1"}}

	for _, test := range []struct {
		name    string
		change  func(*surveyor)
		objects []client.Object
		want    string
	}{
		{"node port, one family", func(*surveyor) {}, []client.Object{serviceCIDR, nodePort, node("node1", "10.244.0.0/24", "192.0.2.1", "2001:db8::1")},
			"service=10.96.0.0/16(servicecidr) pod=10.244.0.0/24(node) default,shop 192.0.2.1:30820"},
		{"node port, both families", func(*surveyor) {},
			[]client.Object{serviceCIDR, gatewayService(corev1.ServiceTypeNodePort, corev1.IPv4Protocol, corev1.IPv6Protocol), node("node1", "10.244.0.0/24", "192.0.2.1", "2001:db8::1")},
			"service=10.96.0.0/16(servicecidr) pod=10.244.0.0/24(node) default,shop 192.0.2.1:30820,[2001:db8::1]:30820"},
		{"load balancer with a name", func(s *surveyor) { s.cluster.UDPType = UDPLoadBalancer }, []client.Object{serviceCIDR, balancer, node("node1", "10.244.0.0/24", "192.0.2.1")},
			"service=10.96.0.0/16(servicecidr) pod=10.244.0.0/24(node) default,shop 198.51.100.7:51820,198.51.100.8:51820"},
		{"Service not there yet", func(*surveyor) {}, []client.Object{serviceCIDR, node("node1", "10.244.0.0/24", "192.0.2.1")},
			"service=10.96.0.0/16(servicecidr) pod=10.244.0.0/24(node) default,shop "},
		{"no ServiceCIDR API", func(s *surveyor) { s.hasServiceCIDRs = false }, []client.Object{nodePort, node("node1", "10.244.0.0/24", "192.0.2.1")},
			"service=10.96.0.0/12(observed) pod=10.244.0.0/24(node) default,shop 192.0.2.1:30820"},
		{"pods watched", func(s *surveyor) { s.watchesPods, s.cluster.PodAddresses = true, addrs("100.64.0.9") }, []client.Object{serviceCIDR, nodePort, node("node1", "", "192.0.2.1"), pod, host},
			"service=10.96.0.0/16(servicecidr) pod=100.64.0.0/23(observed) default,shop 192.0.2.1:30820"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := summary(survey(t, test.change, test.objects...)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTrimKeepsWhatIsUsed(t *testing.T) {
	full := node("node1", "10.244.0.0/24", "192.0.2.1")
	full.Status.Images = []corev1.ContainerImage{{Names: []string{"large"}}}
	trimmed, err := trimNode(full)
	if err != nil {
		t.Fatal(err)
	}
	all := func(netip.Addr) bool { return true }
	got := trimmed.(*corev1.Node)
	if d := describeNode(*got, all); !d.Ready || len(d.Internal) != 1 || len(got.Spec.PodCIDRs) != 1 || got.Status.Images != nil {
		t.Errorf("trimmed node %+v", got)
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{HostNetwork: true, NodeName: "x"}, Status: corev1.PodStatus{Phase: corev1.PodFailed, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}}
	trimmed, err = trimPod(pod)
	if got := trimmed.(*corev1.Pod); err != nil || !got.Spec.HostNetwork || got.Spec.NodeName != "" || got.Status.Phase != corev1.PodFailed || len(got.Status.PodIPs) != 1 {
		t.Errorf("trimmed pod %+v, error %v", got, err)
	}
}
