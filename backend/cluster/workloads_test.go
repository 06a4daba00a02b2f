// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

// compare compares what is shown with a file.
func compare(t *testing.T, file string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, file, string(got)+"\n")
}

func template(app string, ports ...core.ContainerPort) core.PodTemplateSpec {
	return core.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       core.PodSpec{Containers: []core.Container{{Name: app, Ports: ports}}},
	}
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func service(namespace, name, app string) core.Service {
	h2c := "kubernetes.io/h2c"
	return core.Service{ObjectMeta: named(namespace, name), Spec: core.ServiceSpec{
		Selector: map[string]string{"app": app}, Ports: []core.ServicePort{{Name: "web", Port: 80, AppProtocol: &h2c}, {Port: 53, Protocol: core.ProtocolUDP}},
	}}
}

func headless(s core.Service) core.Service {
	s.Spec.ClusterIP = core.ClusterIPNone
	return s
}

func TestWorkloads(t *testing.T) {
	two, none, controlled, always := int32(2), int32(0), true, core.ContainerRestartPolicyAlways
	owned := func(kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Name: name, Controller: &controlled}}
	}
	withSidecar := template("pricing", core.ContainerPort{ContainerPort: 9090, Protocol: core.ProtocolTCP})
	withSidecar.Spec.InitContainers = []core.Container{
		{Name: "proxy", RestartPolicy: &always, Ports: []core.ContainerPort{{Name: "admin", ContainerPort: 15000}}},
		{Name: "setup", Ports: []core.ContainerPort{{ContainerPort: 1}}},
	}
	found := inventory{
		deployments: []apps.Deployment{
			{ObjectMeta: named("shop", "pricing"), Spec: apps.DeploymentSpec{Replicas: &two, Template: withSidecar}, Status: apps.DeploymentStatus{ReadyReplicas: 2}},
			{ObjectMeta: named("shop", "catalog"), Spec: apps.DeploymentSpec{Template: template("catalog", core.ContainerPort{Name: "http", ContainerPort: 8080})}},
			{ObjectMeta: named("shop", "asleep"), Spec: apps.DeploymentSpec{Replicas: &none, Template: template("asleep")}},
			{
				ObjectMeta: named("other", "stuck"), Spec: apps.DeploymentSpec{Template: template("stuck")},
				Status: apps.DeploymentStatus{Conditions: []apps.DeploymentCondition{{Type: apps.DeploymentProgressing, Status: core.ConditionFalse, Message: "deadline exceeded"}}},
			},
		},
		statefulSets: []apps.StatefulSet{{ObjectMeta: named("shop", "inventory"), Spec: apps.StatefulSetSpec{Replicas: &two, Template: template("inventory")}, Status: apps.StatefulSetStatus{ReadyReplicas: 1}}},
		daemonSets:   []apps.DaemonSet{{ObjectMeta: named("shop", "agent"), Spec: apps.DaemonSetSpec{Template: template("agent", core.ContainerPort{ContainerPort: 53, Protocol: core.ProtocolUDP})}, Status: apps.DaemonSetStatus{NumberReady: 1, DesiredNumberScheduled: 1}}},
		pods: []core.Pod{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "alone", Labels: map[string]string{"app": "catalog"}}, Status: core.PodStatus{Conditions: []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}}},
			{ObjectMeta: named("shop", "done"), Status: core.PodStatus{Phase: core.PodSucceeded}},
			{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "catalog-abc-1", OwnerReferences: owned("ReplicaSet", "catalog-abc"), Labels: map[string]string{apps.DefaultDeploymentUniqueLabelKey: "abc"}},
				Status:     core.PodStatus{ContainerStatuses: []core.ContainerStatus{{Name: "catalog", State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "inventory-1", OwnerReferences: owned("StatefulSet", "inventory")},
				Status:     core.PodStatus{ContainerStatuses: []core.ContainerStatus{{Name: "inventory", State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "ContainerCreating"}}}}},
			},
		},
		services: []core.Service{service("shop", "catalog", "catalog"), service("shop", "b-catalog", "catalog"), headless(service("shop", "c-catalog", "catalog")), service("other", "catalog", "catalog"), {ObjectMeta: named("shop", "external")}},
	}
	compare(t, "testdata/workloads.json", found.workloads())
}
