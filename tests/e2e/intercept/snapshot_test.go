// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// snapshot is every object of a namespace that an intercept could touch, without what Kubernetes itself counts.
func snapshot(t *testing.T, namespace string) map[string]string {
	t.Helper()
	objects := map[string]string{}
	out := env.Laptop(0).TryAs(t, "root", "kubectl", "-n", namespace, "get", "deployments,statefulsets,daemonsets,replicasets,services,endpointslices,configmaps,secrets,serviceaccounts,roles,rolebindings", "-o", "json")
	if out.Status != 0 {
		t.Fatalf("%s", out)
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out.Stdout), &list); err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		metadata := item["metadata"].(map[string]any)
		for _, counted := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(metadata, counted)
		}
		if annotations, _ := metadata["annotations"].(map[string]any); annotations != nil {
			delete(annotations, "endpoints.kubernetes.io/last-change-trigger-time")
			if len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
		if endpoints, _ := item["endpoints"].([]any); endpoints != nil { // in no order
			slices.SortFunc(endpoints, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		text, err := json.MarshalIndent(item, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		objects[fmt.Sprint(item["kind"], " ", metadata["name"])] = string(text)
	}
	return objects
}

// settled is the snapshot of a namespace in which nothing changes any more: what a test before did may still be written down
// by Kubernetes' own controllers.
func settled(t *testing.T, namespace string) map[string]string {
	t.Helper()
	last := snapshot(t, namespace)
	harness.Eventually(t, 15*time.Second, "nothing changes in namespace "+namespace, func() error {
		before := last
		last = snapshot(t, namespace)
		if changed := changes(before, last); len(changed) > 0 {
			return errors.New(strings.Join(changed, "\n"))
		}
		return nil
	})
	return last
}

// asBefore checks that a namespace is as in a snapshot, once Kubernetes' own controllers have followed.
func asBefore(t *testing.T, before map[string]string, namespace string) {
	t.Helper()
	harness.Eventually(t, 5*time.Second, "namespace "+namespace+" is as it was", func() error {
		if changed := changes(before, snapshot(t, namespace)); len(changed) > 0 {
			return errors.New(strings.Join(changed, "\n"))
		}
		return nil
	})
}

// changes tells what differs between two snapshots.
func changes(before, after map[string]string) (told []string) {
	for name, text := range before {
		if after[name] != text {
			told = append(told, fmt.Sprintf("%s was\n%s\nis\n%s", name, text, after[name]))
		}
	}
	for name := range after {
		if _, known := before[name]; !known {
			told = append(told, name+" is new")
		}
	}
	return told
}

// podSpecs are the specs of the pods of namespaces, but for the record of ephemeral containers.
func podSpecs(t *testing.T, namespaces ...string) map[string]string {
	t.Helper()
	specs := map[string]string{}
	for _, namespace := range namespaces {
		pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods.Items {
			pod.Spec.EphemeralContainers = nil
			text, err := json.MarshalIndent(map[string]any{"spec": pod.Spec, "labels": pod.Labels, "annotations": pod.Annotations}, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			specs[namespace+"/"+pod.Name] = string(text)
		}
	}
	return specs
}
