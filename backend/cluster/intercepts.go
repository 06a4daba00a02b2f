// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

var interceptResource = schema.GroupVersionResource{Group: "fairlead.dev", Version: "v1alpha1", Resource: "intercepts"}

// ErrInterceptGone says that the Intercept that was watched has been deleted.
var ErrInterceptGone = errors.New("the intercept object was deleted")

// InterceptRights are what a user needs to intercept in a namespace.
func InterceptRights(namespace string) []Action {
	var rights []Action
	for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
		rights = append(rights, interceptAction(verb, namespace))
	}
	return rights
}

func interceptAction(verb, namespace string) Action {
	return Action{Verb: verb, Group: interceptResource.Group, Resource: interceptResource.Resource, Namespace: namespace}
}

// CreateIntercept creates an Intercept and returns it as the API server has it. Errors are *problem.Problem.
func (a *Access) CreateIntercept(ctx context.Context, wanted *v1alpha1.Intercept) (*v1alpha1.Intercept, error) {
	wanted = wanted.DeepCopy()
	wanted.TypeMeta = metav1.TypeMeta{APIVersion: interceptResource.GroupVersion().String(), Kind: "Intercept"}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode intercept: %w", err)
	}
	delete(object, "status")
	created, err := a.objects.Resource(interceptResource).Namespace(wanted.Namespace).Create(ctx,
		&unstructured.Unstructured{Object: object}, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return nil, a.explainIntercept(ctx, err, "create", wanted.Namespace)
	}
	return decode[v1alpha1.Intercept](created)
}

// PatchIntercept changes the fields of an Intercept that patch names (JSON merge patch, RFC 7396). An Intercept that is
// gone is ErrInterceptGone; other errors are *problem.Problem.
func (a *Access) PatchIntercept(ctx context.Context, namespace, name string, patch map[string]any) (*v1alpha1.Intercept, error) {
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode change of intercept: %w", err)
	}
	patched, err := a.objects.Resource(interceptResource).Namespace(namespace).Patch(ctx, name, types.MergePatchType, body,
		metav1.PatchOptions{FieldManager: fieldManager})
	if apierrors.IsNotFound(err) {
		return nil, ErrInterceptGone
	}
	if err != nil {
		return nil, a.explainIntercept(ctx, err, "patch", namespace)
	}
	return decode[v1alpha1.Intercept](patched)
}

// DeleteIntercept deletes an Intercept if it is there. Errors are *problem.Problem.
func (a *Access) DeleteIntercept(ctx context.Context, namespace, name string) error {
	err := a.objects.Resource(interceptResource).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return a.explainIntercept(ctx, err, "delete", namespace)
	}
	return nil
}

// Intercepts lists the Intercepts of a namespace, or of all with "". selector limits them by label; empty is all of
// them. Errors are *problem.Problem.
func (a *Access) Intercepts(ctx context.Context, namespace, selector string) ([]v1alpha1.Intercept, error) {
	list, err := a.objects.Resource(interceptResource).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, a.explainIntercept(ctx, err, "list", namespace)
	}
	found := make([]v1alpha1.Intercept, 0, len(list.Items))
	for i := range list.Items {
		intercept, err := decode[v1alpha1.Intercept](&list.Items[i])
		if err != nil {
			return nil, err
		}
		found = append(found, *intercept)
	}
	return found, nil
}

// WatchIntercept is WatchConnection for an Intercept; that it was deleted is ErrInterceptGone.
func (a *Access) WatchIntercept(ctx context.Context, namespace, name, since string, each func(*v1alpha1.Intercept) error) error {
	return watchAs(ctx, a, watched{interceptResource, namespace, name, ErrInterceptGone, a.explainIntercept}, since, each)
}

// explainIntercept tells a cluster that does not know Intercepts from a namespace that is missing and from a refusal.
func (a *Access) explainIntercept(ctx context.Context, err error, verb, namespace string) error {
	action := interceptAction(verb, namespace)
	switch {
	case apierrors.IsNotFound(err) && namespace != "" && verb == "create" && a.servesConnections(ctx):
		return problem.Wrap(err, problem.NamespaceNotFound, "See: kubectl get namespaces.", "the cluster has no namespace %q", namespace)
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err) && !isAdmissionRefusal(err) && !a.servesConnections(ctx): // roles go with the gateway
		return problem.New(problem.GatewayMissing, "Install it once per cluster with: fairlead gateway install; or bring it to this version with: fairlead gateway upgrade.",
			"the cluster at %s has no Fairlead gateway that can intercept", a.Server())
	case apierrors.IsInvalid(err) && !isAdmissionRefusal(err):
		return problem.Wrap(err, problem.Usage, "", "the cluster does not accept the intercept")
	case apierrors.IsForbidden(err) && !isAdmissionRefusal(err):
		return a.explainMissingIntercept(ctx, err, action)
	}
	return a.Explain(ctx, err, action)
}

// explainMissingIntercept names every right that is missing to intercept, and the role that has them all.
func (a *Access) explainMissingIntercept(ctx context.Context, err error, action Action) error {
	p := problem.From(a.Explain(ctx, err, action))
	if action.Namespace == "" {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if missing, err := a.Missing(ctx, InterceptRights(action.Namespace)); err == nil && len(missing) > 0 {
		p.Details = nil
		for _, right := range missing {
			p.Details = append(p.Details, right.String())
		}
	}
	return p
}
