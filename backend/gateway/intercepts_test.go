// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func interceptOf(user string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "fairlead.dev/v1alpha1", "kind": "Intercept",
		"metadata": map[string]any{"namespace": "shop", "name": "api-" + user, "creationTimestamp": "2026-11-21T08:00:00Z"},
		"spec":     map[string]any{"user": user, "workload": map[string]any{"kind": "Deployment", "name": "api"}},
	}}
}

// pointedService leads to sidecars.
func pointedService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", ResourceVersion: "7", Annotations: map[string]string{
			restore.Annotation: `{"ports":[{"port":80,"protocol":"TCP","targetPort":"http","listen":28080,"to":8080}]}`, "other": "stays",
		}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(28080)}}},
	}
}

func TestInterceptsEndAlthoughTheGatewayIsDead(t *testing.T) {
	m := manager([]runtime.Object{interceptOf("zoe"), interceptOf("anna")}, pointedService())
	ended, err := m.endIntercepts(t.Context(), Options{}.normal(), false)
	if err != nil || ended != 2 {
		t.Fatalf("%d ended, error %v", ended, err)
	}
	left, err := m.intercepts(t.Context())
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, error %v", left, err)
	}
	service, err := m.clients.CoreV1().Services("shop").Get(t.Context(), "api", metav1.GetOptions{})
	if err != nil || service.Spec.Ports[0].TargetPort != intstr.FromString("http") || len(service.Annotations) != 1 {
		t.Errorf("service %+v, error %v", service, err)
	}
}

func TestWhoInterceptsIsNamed(t *testing.T) {
	m := manager([]runtime.Object{connectionOf("zoe", "Ready"), interceptOf("zoe")}, gatewayDeployment())
	_, err := m.Uninstall(t.Context(), Options{})
	p := problem.From(err)
	if p.Code != problem.GatewayInUse || len(p.Details) != 2 || !strings.HasPrefix(p.Details[1], "zoe intercepts deployment api in shop, ") {
		t.Errorf("problem %+v", p)
	}
	if left, err := m.dynamic.Resource(v1alpha1.Intercepts).List(t.Context(), metav1.ListOptions{}); err != nil || len(left.Items) != 1 {
		t.Errorf("a refused removal ended %v, error %v", left, err)
	}
}
