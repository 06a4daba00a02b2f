// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

func TestWhyASidecarWasNotAdded(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	n := &namespace{}
	for name, c := range map[string]struct {
		err       error
		admission bool
		want      string
	}{
		"Pod Security": {
			apierrors.NewForbidden(pods, "api", errors.New(`violates PodSecurity "restricted:latest": unrestricted capabilities`)), true,
			`the cluster refuses a container with what the instant way needs: violates PodSecurity "restricted:latest": unrestricted capabilities`,
		},
		"a webhook": {
			apierrors.NewBadRequest(`admission webhook "policy.test" denied the request: no`), true,
			`the cluster refuses a container with what the instant way needs: admission webhook "policy.test" denied the request: no`,
		},
		"a missing right": {
			apierrors.NewForbidden(schema.GroupResource{Resource: "pods/ephemeralcontainers"}, "api", errors.New(`User "x" cannot patch resource "pods/ephemeralcontainers"`)), false,
			"the gateway may not add containers to pods: its ClusterRole lacks patch on pods/ephemeralcontainers",
		},
		"no answer": {context.DeadlineExceeded, false, "its sidecar could not be added: context deadline exceeded"},
	} {
		if got := admission(c.err); got != c.admission {
			t.Errorf("%s: admission %v", name, got)
		}
		if got := n.whyNot(c.err, injector.Instant); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// asked is a controller with one intercepted Deployment and an API server with objects.
func asked(t *testing.T, objects ...client.Object) *Controller {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := &Controller{namespaces: make(map[string]*namespace), direct: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
	n := newNamespace(c, "shop")
	n.births.Store(&births{byRoot: s.last.births, world: &s.w})
	c.namespaces["shop"] = n
	return c
}

func TestInject(t *testing.T) {
	yes := true
	of := func(kind, name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", GenerateName: "api-", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, Controller: &yes}}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
		}
	}
	fresh := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "api-new", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "api", Controller: &yes}},
	}}
	fresh.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"})
	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "limits"}}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "quota"}}
	for name, c := range map[string]struct {
		namespace string
		pod       *corev1.Pod
		objects   []client.Object
		injected  bool
		problem   string
	}{
		"of the workload":                       {namespace: "shop", pod: of("ReplicaSet", "api-1"), injected: true},
		"of a ReplicaSet made a moment ago":     {namespace: "shop", pod: of("ReplicaSet", "api-new"), objects: []client.Object{fresh}, injected: true},
		"of a ReplicaSet that can't be found":   {namespace: "shop", pod: of("ReplicaSet", "lost"), problem: "find out what the pod belongs to"},
		"of another workload":                   {namespace: "shop", pod: of("StatefulSet", "db")},
		"in another namespace":                  {namespace: "other", pod: of("ReplicaSet", "api-1")},
		"where a LimitRange might refuse it":    {namespace: "shop", pod: of("ReplicaSet", "api-1"), objects: []client.Object{limits}},
		"where a ResourceQuota might refuse it": {namespace: "shop", pod: of("ReplicaSet", "api-1"), objects: []client.Object{quota}},
	} {
		t.Run(name, func(t *testing.T) {
			got, changed, err := asked(t, c.objects...).Inject(t.Context(), c.namespace, c.pod)
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("inject: %v, want %s", err, c.problem)
				}
				return
			}
			if err != nil || changed != c.injected || changed != (len(got.Spec.InitContainers) == 1) {
				t.Errorf("changed %v, error %v, %+v", changed, err, got.Spec.InitContainers)
			}
		})
	}
}

// TestTrimmedObjectsSuffice: decisions from what caches keep are those from whole objects.
func TestTrimmedObjectsSuffice(t *testing.T) {
	run := func(trim bool) []v1alpha1.InterceptStatus {
		s := newStage(t)
		s.w.level = "restricted"
		for _, name := range []string{"api-a", "api-b"} {
			s.pod(name, func(p *corev1.Pod) {
				p.Spec.Containers[0].Image, p.Spec.Containers[0].Env = "app:1", []corev1.EnvVar{{Name: "SECRET", Value: "s"}}
				p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8080}}}
				p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
			})
		}
		s.service("api", intstr.FromString("http"))
		s.intercept("ana", key("ana"))
		for range 8 {
			s.look()
			s.work(wire.Accepted)
			if !trim {
				continue
			}
			for i := range s.w.pods {
				trimmed, err := trimPod(&s.w.pods[i])
				if err != nil {
					t.Fatal(err)
				}
				s.w.pods[i] = *trimmed.(*corev1.Pod)
			}
			for i := range s.w.services {
				trimmed, err := trimService(&s.w.services[i])
				if err != nil {
					t.Fatal(err)
				}
				s.w.services[i] = *trimmed.(*corev1.Service)
			}
		}
		if trim && (s.w.pods[0].Spec.Containers[0].Env != nil || s.w.pods[0].ManagedFields != nil) {
			t.Error("the cache keeps what nobody needs")
		}
		s.w.now = s.w.now.Add(writeEvery * 2)
		s.look()
		return []v1alpha1.InterceptStatus{s.get("api-ana").Status}
	}
	if diff := cmp.Diff(run(false), run(true)); diff != "" {
		t.Errorf("from whole objects and from trimmed ones:\n%s", diff)
	}
}
