// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// FoundWorkload is one workload with what its pods are made of.
type FoundWorkload struct {
	Namespace, Kind, Name string
	// Template is what its pods are made from; of a single pod, the pod's own.
	Template core.PodTemplateSpec
	// Services are those that select its pods, by name.
	Services []core.Service
}

// String names the workload as kubectl does.
func (w FoundWorkload) String() string { return strings.ToLower(w.Kind) + "/" + w.Name }

// workloadKind is a kind of workload that can be intercepted.
type workloadKind struct {
	kind     string
	resource schema.GroupVersionResource
	aliases  []string
}

var workloadKinds = []workloadKind{
	{"Deployment", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, []string{"deploy"}},
	{"StatefulSet", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, []string{"sts"}},
	{"DaemonSet", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, []string{"ds"}},
	{"Rollout", schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}, []string{"ro"}},
	{"ReplicaSet", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, []string{"rs"}},
	{"Job", schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, nil},
	{"Pod", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, []string{"po"}},
}

// kindNamed finds a kind by what people type: its name, plural, or kubectl's short form.
func kindNamed(text string) (workloadKind, bool) {
	text, _, _ = strings.Cut(strings.ToLower(text), ".")
	for _, k := range workloadKinds {
		if text == strings.ToLower(k.kind) || text == k.resource.Resource || slices.Contains(k.aliases, text) {
			return k, true
		}
	}
	return workloadKind{}, false
}

// IsKind reports whether text is a name of a kind of workload, as people type it.
func IsKind(text, kind string) bool {
	k, ok := kindNamed(text)
	return ok && k.kind == kind
}

// FindWorkload finds what people mean by a name: NAME of a workload, KIND/NAME, or the NAME of a Service, which stands for
// the workload behind it. Errors are *problem.Problem; one of several candidates lists them.
func (a *Access) FindWorkload(ctx context.Context, namespace, text string) (*FoundWorkload, error) {
	kind, name, qualified := strings.Cut(text, "/")
	if !qualified {
		name = text
	}
	if name == "" || strings.Contains(name, "/") {
		return nil, problem.New(problem.Usage, "Write NAME or KIND/NAME, such as deployment/api.", "%q names no workload", text)
	}
	switch {
	case !qualified:
		return a.findByName(ctx, namespace, name)
	case slices.Contains([]string{"service", "services", "svc"}, strings.ToLower(kind)):
		return a.findBehindService(ctx, namespace, name)
	}
	k, ok := kindNamed(kind)
	if !ok {
		return nil, problem.New(problem.Usage, "Use deployment, statefulset, daemonset, replicaset, job, pod, rollout or service; --namespace names a namespace.",
			"there is no kind %q of workload to intercept", kind)
	}
	object, err := a.getWorkload(ctx, namespace, k, name)
	if err != nil {
		return nil, err
	}
	if object == nil {
		return nil, a.noWorkload(ctx, namespace, text)
	}
	return a.complete(ctx, namespace, k, object)
}

// findByName looks for a workload of any kind, and for a Service, with that name.
func (a *Access) findByName(ctx context.Context, namespace, name string) (*FoundWorkload, error) {
	objects := make([]*unstructured.Unstructured, len(workloadKinds))
	refused := make([]error, len(workloadKinds))
	var service *core.Service
	group, groupCtx := errgroup.WithContext(ctx)
	for i, kind := range workloadKinds {
		group.Go(func() error {
			object, err := a.getWorkload(groupCtx, namespace, kind, name)
			if isForbiddenProblem(err) {
				refused[i] = err
				return nil
			}
			objects[i] = object
			return err
		})
	}
	group.Go(func() error {
		found, err := a.clients.CoreV1().Services(namespace).Get(groupCtx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return nil
		}
		service = found
		return a.Explain(groupCtx, err, Action{Verb: "get", Resource: "services", Namespace: namespace})
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var found []int
	for i, object := range objects {
		if object != nil {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		return a.complete(ctx, namespace, workloadKinds[found[0]], objects[found[0]])
	case len(found) > 1:
		var candidates []string
		for _, i := range found {
			candidates = append(candidates, strings.ToLower(workloadKinds[i].kind)+"/"+name)
		}
		return nil, ambiguous(namespace, name, candidates)
	case service != nil:
		return a.behindService(ctx, service)
	case refused[0] != nil:
		return nil, refused[0]
	}
	return nil, a.noWorkload(ctx, namespace, name)
}

func ambiguous(namespace, name string, candidates []string) error {
	p := problem.New(problem.Usage, "Name one of them with its kind.", "%q in namespace %s can mean several workloads", name, namespace)
	p.Details = candidates
	return p
}

// noWorkload says that there is none of that name, and which there are.
func (a *Access) noWorkload(ctx context.Context, namespace, text string) error {
	if has, err := a.HasNamespace(ctx, namespace); err == nil && !has {
		return problem.New(problem.NamespaceNotFound, "See: kubectl get namespaces.", "the cluster has no namespace %q", namespace)
	}
	p := problem.New(problem.NotFound, "'fairlead list' shows what there is; --namespace names another namespace.",
		"namespace %s has no workload and no Service %q", namespace, text)
	const most = 12
	if all, err := a.Workloads(ctx, namespace); err == nil && len(all) <= most {
		for _, w := range all {
			p.Details = append(p.Details, strings.ToLower(w.Kind)+"/"+w.Name)
		}
	}
	return p
}

// getWorkload returns nil if there is no such object, or no such kind.
func (a *Access) getWorkload(ctx context.Context, namespace string, kind workloadKind, name string) (*unstructured.Unstructured, error) {
	object, err := a.objects.Resource(kind.resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "get", Group: kind.resource.Group, Resource: kind.resource.Resource, Namespace: namespace})
	}
	return object, nil
}

// complete adds the Services to a workload, and refuses what another workload owns.
func (a *Access) complete(ctx context.Context, namespace string, kind workloadKind, object *unstructured.Unstructured) (*FoundWorkload, error) {
	if owner := metav1.GetControllerOf(object); owner != nil && (kind.kind == "Pod" || kind.kind == "ReplicaSet") {
		if top, err := a.topOwner(ctx, namespace, *owner); err == nil && top != "" {
			return nil, problem.New(problem.Usage, "Intercept that: fairlead intercept "+top+".", "%s %s belongs to %s", strings.ToLower(kind.kind), object.GetName(), top)
		}
	}
	template, err := a.templateOf(ctx, namespace, kind, object)
	if err != nil {
		return nil, err
	}
	found := &FoundWorkload{Namespace: namespace, Kind: kind.kind, Name: object.GetName(), Template: *template}
	list, err := a.clients.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if apierrors.IsForbidden(err) {
		return found, nil
	}
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "list", Resource: "services", Namespace: namespace})
	}
	for _, s := range list.Items {
		if len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(template.Labels)) {
			found.Services = append(found.Services, s)
		}
	}
	sort.Slice(found.Services, func(i, j int) bool { return found.Services[i].Name < found.Services[j].Name })
	return found, nil
}

// templateOf returns what the pods of a workload are made from.
func (a *Access) templateOf(ctx context.Context, namespace string, kind workloadKind, object *unstructured.Unstructured) (*core.PodTemplateSpec, error) {
	template := &core.PodTemplateSpec{}
	if kind.kind == "Pod" {
		pod := &core.Pod{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, pod); err != nil {
			return nil, fmt.Errorf("decode pod: %w", err)
		}
		template.ObjectMeta, template.Spec = pod.ObjectMeta, pod.Spec
		return template, nil
	}
	// An Argo Rollout may take the template of a Deployment.
	if name, ok, _ := unstructured.NestedString(object.Object, "spec", "workloadRef", "name"); ok && kind.kind == "Rollout" {
		text, _, _ := unstructured.NestedString(object.Object, "spec", "workloadRef", "kind")
		if referred, known := kindNamed(text); known {
			other, err := a.getWorkload(ctx, namespace, referred, name)
			if err != nil || other == nil {
				return nil, problem.New(problem.NotFound, "", "rollout %s takes its pods from %s/%s, which is not there", object.GetName(), text, name)
			}
			return a.templateOf(ctx, namespace, referred, other)
		}
	}
	inner, _, err := unstructured.NestedMap(object.Object, "spec", "template")
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(inner, template)
	}
	if err != nil {
		return nil, fmt.Errorf("decode pod template of %s %s: %w", kind.kind, object.GetName(), err)
	}
	return template, nil
}

// topOwner follows owners upwards and returns KIND/NAME of the last that can be intercepted; empty if there is none.
func (a *Access) topOwner(ctx context.Context, namespace string, owner metav1.OwnerReference) (string, error) {
	kind, ok := kindNamed(owner.Kind)
	if !ok {
		return "", nil
	}
	if kind.kind == "ReplicaSet" {
		object, err := a.getWorkload(ctx, namespace, kind, owner.Name)
		if err != nil {
			return "", err
		}
		if object != nil {
			if above := metav1.GetControllerOf(object); above != nil {
				if top, err := a.topOwner(ctx, namespace, *above); err != nil || top != "" {
					return top, err
				}
			}
		}
	}
	return strings.ToLower(kind.kind) + "/" + owner.Name, nil
}

func (a *Access) findBehindService(ctx context.Context, namespace, name string) (*FoundWorkload, error) {
	service, err := a.clients.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, a.noWorkload(ctx, namespace, "service/"+name)
	}
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "get", Resource: "services", Namespace: namespace})
	}
	return a.behindService(ctx, service)
}

// behindService finds the workload whose pods a Service selects.
func (a *Access) behindService(ctx context.Context, service *core.Service) (*FoundWorkload, error) {
	namespace := service.Namespace
	if len(service.Spec.Selector) == 0 {
		return nil, problem.New(problem.NotFound, "Name the workload itself.", "the Service %s selects no pods, so that it stands for no workload", service.Name)
	}
	pods, err := a.clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(service.Spec.Selector).String()})
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "list", Resource: "pods", Namespace: namespace})
	}
	candidates, err := a.tops(ctx, namespace, pods.Items)
	if err != nil {
		return nil, err
	}
	if len(candidates) == 0 { // no pods at the moment
		if all, err := a.Workloads(ctx, namespace); err == nil {
			for _, w := range all {
				if slices.Contains(w.Services, service.Name) {
					candidates = append(candidates, strings.ToLower(w.Kind)+"/"+w.Name)
				}
			}
		}
	}
	slices.Sort(candidates)
	switch candidates = slices.Compact(candidates); len(candidates) {
	case 0:
		return nil, problem.New(problem.NotFound, "Name the workload itself.", "nothing runs behind the Service %s", service.Name)
	case 1:
		return a.FindWorkload(ctx, namespace, candidates[0])
	}
	return nil, ambiguous(namespace, service.Name, candidates)
}

// tops names, as kind/name, what has made pods that have not ended: each perhaps more than once.
func (a *Access) tops(ctx context.Context, namespace string, pods []core.Pod) (names []string, err error) {
	seen := map[string]bool{}
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed {
			continue
		}
		owner := metav1.GetControllerOf(&pod)
		if owner == nil {
			names = append(names, "pod/"+pod.Name)
			continue
		}
		if key := owner.Kind + "/" + owner.Name; !seen[key] {
			seen[key] = true
			top, err := a.topOwner(ctx, namespace, *owner)
			if err != nil {
				return nil, err
			}
			if top != "" {
				names = append(names, top)
			}
		}
	}
	return names, nil
}

func isForbiddenProblem(err error) bool {
	p, ok := err.(*problem.Problem) //nolint:errorlint // Explain returns it unwrapped
	return ok && p.Code == problem.Forbidden
}
