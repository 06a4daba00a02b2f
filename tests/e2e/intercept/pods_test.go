// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

func isReady(pod corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// unready names the pods of some namespaces that are not ready.
func unready(ctx context.Context, namespaces ...string) (string, error) {
	var names []string
	for _, namespace := range namespaces {
		pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("list pods: %w", err)
		}
		if len(pods.Items) == 0 {
			names = append(names, "any of "+namespace)
		}
		for _, pod := range pods.Items {
			if !isReady(pod) {
				names = append(names, namespace+"/"+pod.Name)
			}
		}
	}
	return strings.Join(names, " "), nil
}

func podOf(t testing.TB, namespace, app string) corev1.Pod {
	t.Helper()
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("pods of %s: %v", app, err)
	}
	return pods.Items[0]
}

func serviceAddress(t testing.TB, namespace, name string) string {
	t.Helper()
	service, err := env.Cluster.Kubernetes().CoreV1().Services(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service.Spec.ClusterIP
}

// restoreLab gives the lab its three pods back, after what a test did to it.
func restoreLab(t *testing.T) {
	t.Helper()
	patch := []byte(`{"spec":{"replicas":3}}`)
	if _, err := env.Cluster.Kubernetes().AppsV1().Deployments("lab").Patch(context.Background(), "lab", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	harness.Eventually(t, 30*time.Second, "the lab is itself again", func() error {
		lab, err := env.Cluster.Kubernetes().AppsV1().Deployments("lab").Get(context.Background(), "lab", metav1.GetOptions{})
		if err != nil || lab.Status.ObservedGeneration != lab.Generation || lab.Status.UpdatedReplicas != 3 || lab.Status.ReadyReplicas != 3 || lab.Status.Replicas != 3 {
			return fmt.Errorf("%d of %d pods are ready: %v", lab.Status.ReadyReplicas, lab.Status.Replicas, err)
		}
		return nil
	})
}

// restarts sums the restarts of a namespace's pods, and says which pods there are.
func restarts(t *testing.T, namespace string) (names string, sum int32) {
	t.Helper()
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		names += " " + pod.Name
		for _, container := range pod.Status.ContainerStatuses {
			sum += container.RestartCount
		}
	}
	return names, sum
}
