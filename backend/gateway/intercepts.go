// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

const (
	// putBackWithin is how long a gateway that serves is given to put Services back by itself. It also lets kube-proxies
	// hear of it while the sidecars still listen.
	putBackWithin = 5 * time.Second

	// listSize bounds what one list of Services costs.
	listSize = 500
)

// intercepts lists all of the cluster, in order of user. Without our API types there are none.
func (m *Manager) intercepts(ctx context.Context) ([]v1alpha1.Intercept, error) {
	list, err := m.dynamic.Resource(v1alpha1.Intercepts).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, m.explain(ctx, err, "list", v1alpha1.GroupVersion.Group, "intercepts", "")
	}
	var intercepts []v1alpha1.Intercept
	for _, item := range list.Items {
		var intercept v1alpha1.Intercept
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &intercept); err != nil {
			return nil, fmt.Errorf("read intercept %s: %w", item.GetName(), err)
		}
		intercepts = append(intercepts, intercept)
	}
	slices.SortFunc(intercepts, func(a, b v1alpha1.Intercept) int { return strings.Compare(a.Spec.User, b.Spec.User) })
	return intercepts, nil
}

// describeIntercept says whose it is and of what.
func describeIntercept(i v1alpha1.Intercept) string {
	return fmt.Sprintf("%s intercepts %s %s in %s, %s", i.Spec.User, strings.ToLower(i.Spec.Workload.Kind), i.Spec.Workload.Name,
		i.Namespace, since(i.CreationTimestamp))
}

// endIntercepts removes all of them, and puts back what they changed: the gateway does it, or if it can't, this does. It
// returns how many there were.
func (m *Manager) endIntercepts(ctx context.Context, options Options, serving bool) (int, error) {
	intercepts, err := m.intercepts(ctx)
	if err != nil {
		return 0, err
	}
	if len(intercepts) > 0 {
		options.Progress(fmt.Sprintf("Ending %d intercepts", len(intercepts)))
	}
	for _, intercept := range intercepts {
		err := m.dynamic.Resource(v1alpha1.Intercepts).Namespace(intercept.Namespace).Delete(ctx, intercept.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return len(intercepts), m.explain(ctx, err, "delete", v1alpha1.GroupVersion.Group, "intercepts", intercept.Namespace)
		}
	}
	if serving && len(intercepts) > 0 {
		if err := m.waitUntilPutBack(ctx); err != nil {
			return len(intercepts), err
		}
	}
	return len(intercepts), m.putBackServices(ctx)
}

// waitUntilPutBack gives the gateway time to put Services back.
func (m *Manager) waitUntilPutBack(ctx context.Context) error {
	for deadline := time.Now().Add(putBackWithin); time.Now().Before(deadline); {
		pointed, err := m.pointedServices(ctx)
		if err != nil || len(pointed) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// putBackServices makes Services that lead to sidecars lead to their apps again.
func (m *Manager) putBackServices(ctx context.Context) error {
	pointed, err := m.pointedServices(ctx)
	if err != nil {
		return err
	}
	for _, key := range pointed {
		if err := m.putBackService(ctx, key); err != nil {
			return m.explain(ctx, err, "patch", "", "services", key.Namespace)
		}
	}
	return nil
}

// putBackService tries again while somebody else changes the Service.
func (m *Manager) putBackService(ctx context.Context, key types.NamespacedName) error {
	const tries = 5
	var last error
	for range tries {
		services := m.clients.CoreV1().Services(key.Namespace)
		service, err := services.Get(ctx, key.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		operations := restore.Patch(service)
		if operations == nil {
			return nil
		}
		patch, err := json.Marshal(operations)
		if err != nil {
			return fmt.Errorf("put back service %s: %w", key, err)
		}
		_, last = services.Patch(ctx, key.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
		if last == nil || apierrors.IsNotFound(last) {
			return nil
		}
		if !apierrors.IsConflict(last) && !apierrors.IsInvalid(last) {
			return last
		}
	}
	return last
}

// pointedServices finds the Services that lead to sidecars.
func (m *Manager) pointedServices(ctx context.Context) ([]types.NamespacedName, error) {
	var found []types.NamespacedName
	options := metav1.ListOptions{Limit: listSize}
	for {
		list, err := m.clients.CoreV1().Services(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return nil, m.explain(ctx, err, "list", "", "services", "")
		}
		for _, service := range list.Items {
			if _, pointed := service.Annotations[restore.Annotation]; pointed {
				found = append(found, types.NamespacedName{Namespace: service.Namespace, Name: service.Name})
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return found, nil
		}
	}
}
