// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Uninstall removes the gateway with everything that came with it, API types, cluster roles and, if the install made
// it, the namespace included, and returns when it is gone. Before that it ends all intercepts and puts back what they
// changed, also when the gateway itself is dead. While people are connected it refuses unless forced. It returns the
// status from before.
func (m *Manager) Uninstall(ctx context.Context, options Options) (Status, error) {
	options = options.normal()
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	before, err := m.Status(ctx, options.Namespace)
	if err != nil {
		return before, err
	}
	intercepts, err := m.intercepts(ctx)
	if err != nil {
		return before, err
	}
	if err := inUse(before, intercepts); err != nil && !options.Force {
		return before, err
	}
	helm, err := m.helmFor(options.Namespace)
	if err != nil {
		return before, m.explain(ctx, err, "get", "", "version", "")
	}
	last, err := helm.last()
	if err != nil {
		return before, m.explain(ctx, err, "list", "", "secrets", options.Namespace)
	}
	namespace, ours, err := m.ourNamespace(ctx, options.Namespace)
	if err != nil {
		return before, err
	}
	switch {
	case last == nil && before.Installed:
		return before, problem.New(problem.Usage, "Remove it the way it was installed.", "the gateway in namespace %s was not installed with Helm", options.Namespace)
	case last == nil && !ours:
		p := missing(options.Namespace)
		p.Hint = "There is nothing to remove. If the gateway is in another namespace, name that with --gateway-namespace."
		return before, p
	}
	ended, err := m.endIntercepts(ctx, options, before.Ready)
	if err != nil {
		return before, err
	}
	if ended > 0 {
		before.Notes = append(before.Notes, "pods that were intercepted keep a record of their sidecar (an ephemeral container), "+
			"and pods that were made meanwhile the sidecar itself, until they are replaced")
	}
	if last != nil {
		options.Progress("Removing the gateway")
		if err := helm.uninstall(options.Timeout); err != nil {
			return before, m.explainHelm(ctx, err, options.Namespace)
		}
		if err := m.waitUntilGone(ctx, options); err != nil {
			return before, err
		}
		if err := m.putBackServices(ctx); err != nil { // should the gateway have pointed one at sidecars at its very end
			return before, err
		}
	}
	if !ours {
		return before, nil
	}
	others, err := m.strangers(ctx, options.Namespace)
	if err != nil {
		return before, err
	}
	if others > 0 {
		before.Notes = append(before.Notes, fmt.Sprintf("namespace %s stays: it has %d pods that are not the gateway's", options.Namespace, others))
		return before, nil
	}
	options.Progress("Removing namespace " + options.Namespace)
	return before, m.deleteNamespace(ctx, namespace)
}

// inUse says who is connected, and what they intercept.
func inUse(status Status, intercepts []v1alpha1.Intercept) error {
	var details []string
	for _, connection := range status.Connected {
		if connection.Live() {
			line := connection.User
			if connection.Host != "" {
				line += " on " + connection.Host
			}
			details = append(details, fmt.Sprintf("%s, %s", line, since(metav1.NewTime(connection.Since))))
		}
	}
	if len(details) == 0 {
		return nil
	}
	p := problem.New(problem.GatewayInUse, "Ask them to disconnect (on this laptop: fairlead disconnect), or use --force to cut them off.", "%d laptops are connected", len(details))
	if len(details) == 1 {
		p.Message = "a laptop is connected"
	}
	for _, intercept := range intercepts {
		details = append(details, describeIntercept(intercept))
	}
	p.Details = details
	return p
}

// ourNamespace returns the namespace, and whether an install made it.
func (m *Manager) ourNamespace(ctx context.Context, name string) (*corev1.Namespace, bool, error) {
	namespace, err := m.clients.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, m.explain(ctx, err, "get", "", "namespaces", "")
	}
	return namespace, namespace.Annotations[createdAnnotation] == "true", nil
}

// strangers counts the pods in the namespace that are not the gateway's.
func (m *Manager) strangers(ctx context.Context, namespace string) (int, error) {
	pods, err := m.clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, m.explain(ctx, err, "list", "", "pods", namespace)
	}
	count := 0
	for _, pod := range pods.Items {
		if pod.Labels["app.kubernetes.io/name"] != "fairlead" {
			count++
		}
	}
	return count, nil
}

// waitUntilGone waits for what goes last after the release is gone: pods, which are given time to end, and the API
// types, whose objects are deleted first.
func (m *Manager) waitUntilGone(ctx context.Context, options Options) error {
	options.Progress("Waiting for the gateway's pods to end")
	for {
		pods, err := m.clients.CoreV1().Pods(options.Namespace).List(ctx, metav1.ListOptions{LabelSelector: podSelector})
		if err != nil {
			return m.explain(ctx, err, "list", "", "pods", options.Namespace)
		}
		if len(pods.Items) == 0 {
			break
		}
		events, err := m.clients.CoreV1().Pods(options.Namespace).Watch(ctx, metav1.ListOptions{
			LabelSelector: podSelector, ResourceVersion: pods.ResourceVersion,
		})
		if err != nil {
			return m.explain(ctx, err, "watch", "", "pods", options.Namespace)
		}
		untilDeleted(ctx, events)
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
	}
	for _, name := range []string{"connections.fairlead.dev", "intercepts.fairlead.dev"} {
		types := m.dynamic.Resource(crds)
		crd, err := types.Get(ctx, name, metav1.GetOptions{})
		for ; err == nil; crd, err = types.Get(ctx, name, metav1.GetOptions{}) {
			events, watchErr := types.Watch(ctx, metav1.ListOptions{
				FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(), ResourceVersion: crd.GetResourceVersion(),
			})
			if watchErr != nil {
				return m.explain(ctx, watchErr, "watch", crds.Group, crds.Resource, "")
			}
			untilDeleted(ctx, events)
			if ctx.Err() != nil {
				return interrupted(ctx)
			}
		}
		if !apierrors.IsNotFound(err) {
			return m.explain(ctx, err, "get", crds.Group, crds.Resource, "")
		}
	}
	return nil
}

// deleteNamespace removes the namespace and waits until it is gone.
func (m *Manager) deleteNamespace(ctx context.Context, namespace *corev1.Namespace) error {
	namespaces := m.clients.CoreV1().Namespaces()
	err := namespaces.Delete(ctx, namespace.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &namespace.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return m.explain(ctx, err, "delete", "", "namespaces", "")
	}
	for {
		present, err := namespaces.Get(ctx, namespace.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && present.UID != namespace.UID {
			return nil
		}
		if err != nil {
			return m.explain(ctx, err, "get", "", "namespaces", "")
		}
		events, err := namespaces.Watch(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", namespace.Name).String(), ResourceVersion: present.ResourceVersion,
		})
		if err != nil {
			return m.explain(ctx, err, "watch", "", "namespaces", "")
		}
		untilDeleted(ctx, events)
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
	}
}

// untilDeleted reads a watch until it tells of a deletion, or ends.
func untilDeleted(ctx context.Context, events watch.Interface) {
	defer events.Stop()
	for {
		select {
		case event, ok := <-events.ResultChan():
			if !ok || event.Type == watch.Deleted || event.Type == watch.Error {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
