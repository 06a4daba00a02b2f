// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/agent/controller"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// kinds are those of workloads, and what else is looked at in their namespaces.
var kinds = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}, {Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "batch", Version: "v1", Kind: "Job"}, {Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"},
	{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Service"}, {Version: "v1", Kind: "LimitRange"}, {Version: "v1", Kind: "ResourceQuota"},
}

// kindOf returns the full kind of a workload's.
func kindOf(kind string) (schema.GroupVersionKind, bool) {
	for _, known := range kinds {
		if known.Kind == kind {
			return known, true
		}
	}
	return schema.GroupVersionKind{}, false
}

// newMapper knows where the API server has the kinds.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range kinds {
		mapper.Add(kind, meta.RESTScopeNamespace)
		mapper.Add(kind.GroupVersion().WithKind(kind.Kind+"List"), meta.RESTScopeNamespace)
	}
	return mapper
}

// watched is what is watched in a namespace: the pods, the ReplicaSets' owners and the Services.
func watched() []client.Object {
	return []client.Object{&corev1.Pod{}, metadataOf("ReplicaSet"), &corev1.Service{}}
}

func metadataOf(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	known, _ := kindOf(kind)
	object.SetGroupVersionKind(known)
	return object
}

// newNamespaceCache makes a cache of one namespace. It costs memory for as long as it runs.
func newNamespaceCache(config *rest.Config, httpClient *http.Client, scheme *runtime.Scheme, namespace string) (cache.Cache, error) {
	made, err := cache.New(config, cache.Options{
		HTTPClient: httpClient, Scheme: scheme, Mapper: newMapper(), NewInformer: controller.NewPatientInformer,
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Transform: trimPod}, metadataOf("ReplicaSet"): {Transform: trimReplicaSet}, &corev1.Service{}: {Transform: trimService},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare to watch namespace %s: %w", namespace, err)
	}
	return made, nil
}

// follow has wake called whenever something watched changes.
func follow(ctx context.Context, c cache.Cache, wake func()) error {
	for _, object := range watched() {
		informer, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
		}); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return nil
}

// trimPod keeps of a pod what decisions need.
func trimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	trimmed := &corev1.Pod{
		ObjectMeta: trimMetadata(pod.ObjectMeta),
		Spec: corev1.PodSpec{
			NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork, HostUsers: pod.Spec.HostUsers, OS: pod.Spec.OS,
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIPs: pod.Status.PodIPs, HostIPs: pod.Status.HostIPs},
	}
	trimmed.Labels = pod.Labels
	if text, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		trimmed.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: text}
	}
	if system := pod.Spec.NodeSelector[corev1.LabelOSStable]; system != "" {
		trimmed.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: system}
	}
	for _, container := range pod.Spec.Containers {
		trimmed.Spec.Containers = append(trimmed.Spec.Containers, trimContainer(container))
	}
	ours := make(map[string]bool)
	for _, container := range pod.Spec.InitContainers {
		if injector.IsSidecar(container.Name, container.Env) {
			ours[container.Name] = true
		} else {
			container = trimContainer(container)
		}
		trimmed.Spec.InitContainers = append(trimmed.Spec.InitContainers, container)
	}
	for _, container := range pod.Spec.EphemeralContainers {
		if injector.IsSidecar(container.Name, container.Env) {
			ours[container.Name] = true
			trimmed.Spec.EphemeralContainers = append(trimmed.Spec.EphemeralContainers, container)
		} else { // its name is taken
			trimmed.Spec.EphemeralContainers = append(trimmed.Spec.EphemeralContainers, corev1.EphemeralContainer{
				EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: container.Name},
			})
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			trimmed.Status.Conditions = []corev1.PodCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	trimmed.Status.EphemeralContainerStatuses = trimStatuses(pod.Status.EphemeralContainerStatuses, ours)
	trimmed.Status.InitContainerStatuses = trimStatuses(pod.Status.InitContainerStatuses, ours)
	return trimmed, nil
}

func trimContainer(c corev1.Container) corev1.Container {
	return corev1.Container{
		Name: c.Name, Ports: c.Ports, StartupProbe: c.StartupProbe, LivenessProbe: c.LivenessProbe, ReadinessProbe: c.ReadinessProbe,
	}
}

func trimStatuses(statuses []corev1.ContainerStatus, ours map[string]bool) []corev1.ContainerStatus {
	var trimmed []corev1.ContainerStatus
	for _, status := range statuses {
		if ours[status.Name] {
			trimmed = append(trimmed, corev1.ContainerStatus{Name: status.Name, State: status.State})
		}
	}
	return trimmed
}

func trimMetadata(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, OwnerReferences: m.OwnerReferences,
	}
}

// trimReplicaSet keeps who owns it.
func trimReplicaSet(object any) (any, error) {
	if set, ok := object.(*metav1.PartialObjectMetadata); ok {
		return &metav1.PartialObjectMetadata{TypeMeta: set.TypeMeta, ObjectMeta: trimMetadata(set.ObjectMeta)}, nil
	}
	return object, nil
}

// trimService keeps where it leads.
func trimService(object any) (any, error) {
	service, ok := object.(*corev1.Service)
	if !ok {
		return object, nil
	}
	trimmed := &corev1.Service{ObjectMeta: trimMetadata(service.ObjectMeta), Spec: corev1.ServiceSpec{
		Ports: service.Spec.Ports, Selector: service.Spec.Selector, ClusterIP: service.Spec.ClusterIP, Type: service.Spec.Type,
	}}
	trimmed.Annotations = service.Annotations // a patch must know whether there are any
	return trimmed, nil
}
