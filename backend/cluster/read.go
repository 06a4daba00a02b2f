// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// ConfigMap reads a ConfigMap. One that is missing is a problem.NotFound. Errors are *problem.Problem.
func (a *Access) ConfigMap(ctx context.Context, namespace, name string) (*core.ConfigMap, error) {
	found, err := a.clients.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	return found, a.explainRead(ctx, err, "configmaps", namespace, name)
}

// Secret reads a Secret. One that is missing is a problem.NotFound. Errors are *problem.Problem.
func (a *Access) Secret(ctx context.Context, namespace, name string) (*core.Secret, error) {
	found, err := a.clients.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	return found, a.explainRead(ctx, err, "secrets", namespace, name)
}

// Service reads a Service. One that is missing is a problem.NotFound. Errors are *problem.Problem.
func (a *Access) Service(ctx context.Context, namespace, name string) (*core.Service, error) {
	found, err := a.clients.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	return found, a.explainRead(ctx, err, "services", namespace, name)
}

// Services lists the Services of a namespace. Errors are *problem.Problem.
func (a *Access) Services(ctx context.Context, namespace string) ([]core.Service, error) {
	list, err := a.clients.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "list", Resource: "services", Namespace: namespace})
	}
	return list.Items, nil
}

func (a *Access) explainRead(ctx context.Context, err error, resource, namespace, name string) error {
	if apierrors.IsNotFound(err) {
		return problem.Wrap(err, problem.NotFound, "", "read %s of namespace %s", strings.TrimSuffix(resource, "s")+" "+name, namespace)
	}
	return a.Explain(ctx, err, Action{Verb: "get", Resource: resource, Namespace: namespace})
}

// PodsOf lists the pods of a workload that have not ended, the ones that are ready first, of those the newest. Errors are
// *problem.Problem.
func (a *Access) PodsOf(ctx context.Context, w *FoundWorkload) ([]core.Pod, error) {
	list, err := a.clients.CoreV1().Pods(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(w.Template.Labels).String()})
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "list", Resource: "pods", Namespace: w.Namespace})
	}
	pods := slices.DeleteFunc(list.Items, func(p core.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == core.PodSucceeded || p.Status.Phase == core.PodFailed || !w.owns(p)
	})
	slices.SortFunc(pods, func(x, y core.Pod) int {
		if rx, ry := readyPods([]core.Pod{x}), readyPods([]core.Pod{y}); rx != ry {
			return int(ry - rx)
		}
		return y.CreationTimestamp.Compare(x.CreationTimestamp.Time)
	})
	return pods, nil
}

// owns reports whether a pod with the workload's labels is one of its own.
func (w *FoundWorkload) owns(p core.Pod) bool {
	owner := metav1.GetControllerOf(&p)
	switch w.Kind {
	case "Pod":
		return p.Name == w.Name
	case "Deployment", "Rollout": // through a ReplicaSet that is named after it
		return owner != nil && owner.Kind == "ReplicaSet" && strings.HasPrefix(owner.Name, w.Name+"-")
	}
	return owner != nil && owner.Kind == w.Kind && owner.Name == w.Name
}
