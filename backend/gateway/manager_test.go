// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

type fakeCluster struct{}

func (fakeCluster) RESTConfig() *rest.Config { return &rest.Config{} }
func (fakeCluster) Explain(_ context.Context, err error, action cluster.Action) error {
	return cluster.Classify(err, action, cluster.Subject{Server: "https://test", Context: "test"})
}

func (fakeCluster) Missing(context.Context, []cluster.Action) ([]cluster.Action, error) {
	return nil, nil
}

// manager works on objects of built-in kinds and, as maps, of others.
func manager(others []runtime.Object, objects ...runtime.Object) *Manager {
	lists := map[schema.GroupVersionResource]string{v1alpha1.Connections: "ConnectionList", v1alpha1.Intercepts: "InterceptList", crds: "CustomResourceDefinitionList"}
	return &Manager{
		cluster: fakeCluster{}, clients: fake.NewClientset(objects...),
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, others...),
	}
}

func gatewayDeployment() *appsv1.Deployment {
	d := rolledOutDeployment()
	d.Labels = map[string]string{cluster.VersionLabel: "1.2.3"}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Image: "registry.test/agent:1.2.3", Args: []string{"gateway", "--udp-type=HostPort"}}}
	return d
}

func gatewayPod(name string, active bool) *corev1.Pod {
	p := servingPod()
	p.Name, p.Spec.NodeName = name, "node1"
	p.Labels = map[string]string{"app.kubernetes.io/name": "fairlead", "app.kubernetes.io/component": "gateway"}
	if active {
		p.Labels[cluster.ActiveLabel] = "true"
	}
	return p
}

func connectionOf(user, phase string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "fairlead.dev/v1alpha1", "kind": "Connection",
		"metadata": map[string]any{"namespace": "fairlead", "name": user, "creationTimestamp": "2026-11-21T08:00:00Z"},
		"spec":     map[string]any{"user": user, "host": user + "-laptop", "namespace": "shop"},
		"status":   map[string]any{"phase": phase, "carrier": "udp", "endpoints": map[string]any{"udp": []any{"192.0.2.1:30000"}}},
	}}
}

func TestStatus(t *testing.T) {
	ending := gatewayPod("ending", true)
	ending.DeletionTimestamp, ending.Finalizers = &metav1.Time{Time: time.Now()}, []string{"x/y"}
	m := manager([]runtime.Object{connectionOf("zoe", "Idle"), connectionOf("anna", "Ready")},
		gatewayDeployment(), gatewayPod("p1", true), gatewayPod("p2", false), ending, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: "fairlead-gateway"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 51820, NodePort: 31820}}},
		})
	got, err := m.Status(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Installed || !got.Ready || got.Namespace != "fairlead" || got.Version != "1.2.3" || got.Image != "registry.test/agent:1.2.3" || got.UDPType != "HostPort" || got.UDPPort != 31820 || len(got.Notes) > 0 {
		t.Errorf("%+v", got)
	}
	if len(got.Pods) != 2 || !got.Pods[0].Active || got.Pods[1].Active || got.Pods[0].Node != "node1" || got.Pods[0].State != "ready" {
		t.Errorf("pods %+v", got.Pods)
	}
	if len(got.Connected) != 2 || got.Connected[0].User != "anna" || !got.Connected[0].Live() || got.Connected[1].Live() || got.Endpoints[0] != "192.0.2.1:30000" {
		t.Errorf("connected %+v, endpoints %v", got.Connected, got.Endpoints)
	}
}

func TestStatusWithoutGateway(t *testing.T) {
	got, err := manager(nil).Status(t.Context(), "elsewhere")
	if err != nil || got.Installed || got.Ready || got.Namespace != "elsewhere" {
		t.Errorf("%+v, error %v", got, err)
	}
}

func TestStatusSaysWhichRightIsMissing(t *testing.T) {
	m := manager(nil)
	m.clients.(*fake.Clientset).PrependReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, deploymentName, errors.New("no"))
	})
	_, err := m.Status(t.Context(), "")
	if !errors.Is(err, problem.New(problem.Forbidden, "", "")) {
		t.Errorf("ask without the right: %v", err)
	}
}

func TestUninstallIsRefusedWhileInUse(t *testing.T) {
	m := manager([]runtime.Object{connectionOf("zoe", "Idle"), connectionOf("anna", "Ready")}, gatewayDeployment())
	_, err := m.Uninstall(t.Context(), Options{})
	p := problem.From(err)
	if p.Code != problem.GatewayInUse || len(p.Details) != 1 || p.Details[0][:len("anna on anna-laptop")] != "anna on anna-laptop" {
		t.Errorf("problem %+v", p)
	}
}

func TestOneGatewayInACluster(t *testing.T) {
	crd := func(annotations map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": map[string]any{"name": "connections.fairlead.dev", "annotations": annotations},
		}}
	}
	for name, test := range map[string]struct {
		present []runtime.Object
		refused bool
	}{
		"none":                 {nil, false},
		"this one":             {[]runtime.Object{crd(map[string]any{"meta.helm.sh/release-namespace": "fairlead"})}, false},
		"another one":          {[]runtime.Object{crd(map[string]any{"meta.helm.sh/release-namespace": "other"})}, true},
		"one made in some way": {[]runtime.Object{crd(nil)}, true},
	} {
		if err := manager(test.present).ensureOnly(t.Context(), "fairlead"); (err != nil) != test.refused {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestNamespaceIsMadeOnceAndHeldToPodSecurity(t *testing.T) {
	for level, values := range map[string]map[string]any{
		"restricted": {},
		"privileged": {"udp": map[string]any{"type": "HostPort"}},
	} {
		m := manager(nil)
		for range 2 {
			if err := m.ensureNamespace(t.Context(), "fairlead", values); err != nil {
				t.Fatal(err)
			}
		}
		namespace, ours, err := m.ourNamespace(t.Context(), "fairlead")
		if err != nil || !ours || namespace.Labels["pod-security.kubernetes.io/enforce"] != level {
			t.Errorf("%s: %+v, ours %v, error %v", level, namespace, ours, err)
		}
	}
	changed := manager(nil)
	for _, values := range []map[string]any{{"udp": map[string]any{"type": "HostPort"}}, nil} {
		if err := changed.ensureNamespace(t.Context(), "fairlead", values); err != nil {
			t.Fatal(err)
		}
	}
	if namespace, _, _ := changed.ourNamespace(t.Context(), "fairlead"); namespace.Labels[levelLabel] != "restricted" {
		t.Errorf("the namespace stays at level %q after host ports are given up", namespace.Labels[levelLabel])
	}
	m := manager(nil, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fairlead"}})
	if err := m.ensureNamespace(t.Context(), "fairlead", nil); err != nil {
		t.Fatal(err)
	}
	if _, ours, _ := m.ourNamespace(t.Context(), "fairlead"); ours {
		t.Error("a namespace that was there passes for one of ours")
	}
}

func TestExplainHelm(t *testing.T) {
	m := manager(nil)
	for text, code := range map[string]problem.Code{
		"values don't meet the specifications of the schema(s) in the following chart(s):\nfairlead:\n- at '': no": problem.Usage,
		"chart requires kubeVersion: >=1.30.0-0 which is incompatible with Kubernetes v1.29.1":                     problem.Usage,
		"another operation (install/upgrade/rollback) is in progress":                                              problem.GatewayNotReady,
		`ClusterRole "fairlead-viewer" exists and cannot be imported: invalid ownership metadata`:                  problem.Usage,
	} {
		p := problem.From(m.explainHelm(t.Context(), errors.New(text), "fairlead"))
		if p.Code != code || p.Hint == "" {
			t.Errorf("%s: %+v", text, p)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p := problem.From(m.explainHelm(ctx, errors.New("context canceled"), "fairlead")); p.Code != problem.Cancelled {
		t.Errorf("%+v", p)
	}
}
