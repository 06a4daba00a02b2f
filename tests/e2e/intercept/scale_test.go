// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

//go:embed testdata/argo/*.yaml
var argo embed.FS

var (
	rollouts    = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
)

// TestArgoRollout intercepts a Rollout by its name: its pods are those of a ReplicaSet that it owns, which the test makes, as
// Argo's controller would.
func TestArgoRollout(t *testing.T) {
	client, err := dynamic.NewForConfig(env.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		env.Laptop(0).TryAs(t, "root", "kubectl", "delete", "--ignore-not-found", "-n", "kinds", "service/rolled", "replicaset/rolled-1")
		env.Laptop(0).TryAs(t, "root", "kubectl", "delete", "--ignore-not-found", "crd/rollouts.argoproj.io")
		harness.Eventually(t, 30*time.Second, "the pods of the rollout are gone", func() error {
			pods, err := env.Cluster.Kubernetes().CoreV1().Pods("kinds").List(context.Background(), metav1.ListOptions{LabelSelector: "app=rolled"})
			if err != nil || len(pods.Items) > 0 {
				return fmt.Errorf("%d pods, %v", len(pods.Items), err)
			}
			return nil
		})
	})
	for _, name := range []string{"crd", "service", "rollout"} {
		harness.Eventually(t, 10*time.Second, name+" is applied", func() error { // a new kind is not served at once
			file, err := argo.Open("testdata/argo/" + name + ".yaml")
			if err != nil {
				return err
			}
			defer file.Close()
			return env.Cluster.Apply(t.Context(), file)
		})
	}
	rollout, err := client.Resource(rollouts).Namespace("kinds").Get(t.Context(), "rolled", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	set := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": map[string]any{}}}
	set.SetName("rolled-1")
	set.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "rolled", UID: rollout.GetUID(), Controller: &yes}})
	for _, field := range []string{"replicas", "selector", "template"} {
		value, _, err := unstructured.NestedFieldCopy(rollout.Object, "spec", field)
		if err != nil {
			t.Fatal(err)
		}
		if err := unstructured.SetNestedField(set.Object, value, "spec", field); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Resource(replicaSets).Namespace("kinds").Create(t.Context(), set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 30*time.Second, "the pods of the rollout are ready", func() error {
		pods, err := env.Cluster.Kubernetes().CoreV1().Pods("kinds").List(t.Context(), metav1.ListOptions{LabelSelector: "app=rolled"})
		if err != nil || len(pods.Items) != 2 || !isReady(pods.Items[0]) || !isReady(pods.Items[1]) {
			return fmt.Errorf("%d pods, %v", len(pods.Items), err)
		}
		return nil
	})

	alice := connected(t, 0)
	alice.serve(t, 3000)
	described := func() string {
		t.Helper()
		object, err := client.Resource(rollouts).Namespace("kinds").Get(t.Context(), "rolled", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before, objects := described(), settled(t, "kinds")
	for _, name := range []string{"rollout/rolled", "rolled"} {
		t.Run(name, func(t *testing.T) {
			a := alice.intercept(t, name, "-n", "kinds", "--key", "blue", "--port", "3000:web")
			if a.Phase != "Active" || a.PodsCovered != 2 {
				t.Errorf("%+v", a)
			}
			for range 6 { // each pod has its turn
				if got := alice.whoAnswers(t, "http://rolled.kinds/", blue); got != "alice" {
					t.Errorf("%s answered", got)
				}
				if got := alice.whoAnswers(t, "http://rolled.kinds/"); !strings.HasPrefix(got, "rolled-1-") {
					t.Errorf("%s answered others", got)
				}
			}
			alice.leave(t)
			if got := alice.whoAnswers(t, "http://rolled.kinds/", blue); !strings.HasPrefix(got, "rolled-1-") {
				t.Errorf("%s answered after leaving", got)
			}
		})
	}
	if after := described(); after != before {
		t.Errorf("the rollout was\n%s\nis\n%s", before, after)
	}
	asBefore(t, objects, "kinds")
}

// TestAutoscaler lets a HorizontalPodAutoscaler scale an intercepted Deployment. There are no metrics here: its bounds alone
// make it scale, up to the least that it wants and down to the most.
func TestAutoscaler(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	autoscalers := env.Cluster.Kubernetes().AutoscalingV2().HorizontalPodAutoscalers("lab")
	t.Cleanup(func() {
		if err := autoscalers.Delete(context.Background(), "lab", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
		restoreLab(t)
	})
	bounds := func(least, most int32) autoscalingv2.HorizontalPodAutoscalerSpec {
		return autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "lab"},
			MinReplicas:    &least, MaxReplicas: most,
		}
	}
	scaled := func(t *testing.T, pods int) {
		t.Helper()
		took := harness.Eventually(t, 45*time.Second, fmt.Sprintf("the autoscaler makes it %d pods, all covered", pods), func() error {
			for _, a := range alice.intercepts(t) {
				if a.PodsCovered != pods || a.PodsReady != pods || a.Phase != "Active" {
					return fmt.Errorf("%+v", a)
				}
			}
			return nil
		})
		t.Logf("%d pods after %v", pods, took)
		harness.Eventually(t, 15*time.Second, "nodes know which pods there are", func() error {
			for range 2 * pods { // each has its turn
				r := alice.Try(t, "curl", "-sS", "-m", "1", "-H", blue, "http://lab.lab/")
				if !strings.Contains(r.Stdout, `"server":"alice"`) {
					return fmt.Errorf("%s", r)
				}
			}
			return nil
		})
	}
	made, err := autoscalers.Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "lab"}, Spec: bounds(5, 6)}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scaled(t, 5)
	harness.Eventually(t, 10*time.Second, "its bounds are changed", func() error {
		if made, err = autoscalers.Get(t.Context(), "lab", metav1.GetOptions{}); err != nil {
			return err
		}
		made.Spec = bounds(1, 2)
		_, err = autoscalers.Update(t.Context(), made, metav1.UpdateOptions{})
		return err
	})
	scaled(t, 2)
}
