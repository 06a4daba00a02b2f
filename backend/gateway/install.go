// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/charts"
)

// createdAnnotation marks a namespace that an install made, and that an uninstall removes.
const createdAnnotation = "fairlead.dev/created-by-install"

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Install brings the gateway into the cluster and returns when it serves. Where it is installed already, it is
// brought to the options' version and values.
func (m *Manager) Install(ctx context.Context, options Options) (Status, error) {
	return m.change(ctx, options, func(installed bool) error { return nil })
}

// Upgrade brings the gateway to the options' version and values, and returns when that serves.
func (m *Manager) Upgrade(ctx context.Context, options Options) (Status, error) {
	options = options.normal()
	return m.change(ctx, options, func(installed bool) error {
		if !installed {
			return missing(options.Namespace)
		}
		return nil
	})
}

// change installs or upgrades, if allowed agrees.
func (m *Manager) change(ctx context.Context, options Options, allowed func(installed bool) error) (Status, error) {
	options = options.normal()
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	values, err := options.values()
	if err != nil {
		return Status{}, err
	}
	chart, err := charts.Load(options.Version)
	if err != nil {
		return Status{}, err
	}
	if err := m.ensureOnly(ctx, options.Namespace); err != nil {
		return Status{}, err
	}
	helm, err := m.helmFor(options.Namespace)
	if err != nil {
		return Status{}, m.explain(ctx, err, "get", "", "version", "")
	}
	last, err := helm.last()
	if err != nil {
		return Status{}, m.explain(ctx, err, "list", "", "secrets", options.Namespace)
	}
	if err := allowed(last != nil); err != nil {
		return Status{}, err
	}
	if last == nil {
		options.Progress("Installing the gateway " + options.Version + " in namespace " + options.Namespace)
		if err := m.ensureNamespace(ctx, options.Namespace, values); err != nil {
			return Status{}, err
		}
		err = helm.install(ctx, chart, values, options.Timeout)
	} else {
		options.Progress("Bringing the gateway to version " + options.Version)
		unlocked, unlockErr := helm.unlock(last)
		if unlockErr != nil {
			return Status{}, m.explain(ctx, unlockErr, "update", "", "secrets", options.Namespace)
		}
		if !unlocked {
			return Status{}, busy(string(last.Info.Status))
		}
		if err := m.ensureNamespace(ctx, options.Namespace, merge(last.Config, values)); err != nil {
			return Status{}, err
		}
		err = helm.upgrade(ctx, chart, values, options.Timeout)
	}
	if err != nil {
		return Status{}, m.explainHelm(ctx, err, options.Namespace)
	}
	if !options.NoWait {
		if err := m.waitUntilServing(ctx, options); err != nil {
			return Status{}, err
		}
	}
	return m.Status(ctx, options.Namespace)
}

// ensureOnly refuses a second gateway: API types and cluster roles exist once in a cluster.
func (m *Manager) ensureOnly(ctx context.Context, namespace string) error {
	crd, err := m.dynamic.Resource(crds).Get(ctx, "connections.fairlead.dev", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return m.explain(ctx, err, "get", crds.Group, crds.Resource, "")
	}
	owner := crd.GetAnnotations()["meta.helm.sh/release-namespace"]
	if owner == "" {
		return problem.New(problem.Usage, "Remove it first: kubectl delete crd connections.fairlead.dev intercepts.fairlead.dev",
			"the cluster has the API types of a gateway that was not installed with Helm")
	}
	if owner != namespace {
		return problem.New(problem.Usage, "A cluster has one gateway: use --gateway-namespace "+owner+".",
			"the gateway is installed in namespace %s already", owner)
	}
	return nil
}

// levelLabel holds a namespace to a Pod Security level.
const levelLabel = "pod-security.kubernetes.io/enforce"

// ensureNamespace makes the namespace if it is not there, held to the strictest Pod Security level that the gateway
// can run under with those values. One that an install made before is brought to that level; any other stays as it is.
func (m *Manager) ensureNamespace(ctx context.Context, name string, values map[string]any) error {
	level := podSecurityLevel(values)
	namespaces := m.clients.CoreV1().Namespaces()
	_, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name,
		Labels: map[string]string{
			"app.kubernetes.io/name":       "fairlead",
			"app.kubernetes.io/managed-by": "fairlead",
			levelLabel:                     level,
		},
		Annotations: map[string]string{createdAnnotation: "true"},
	}}, metav1.CreateOptions{})
	if err == nil {
		return nil
	}
	// Who may not create namespaces may still use one that is there.
	if !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) {
		return m.explain(ctx, err, "create", "", "namespaces", "")
	}
	present, getErr := namespaces.Get(ctx, name, metav1.GetOptions{})
	if getErr != nil {
		return m.explain(ctx, err, "create", "", "namespaces", "")
	}
	if present.Annotations[createdAnnotation] != "true" || present.Labels[levelLabel] == level {
		return nil
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, levelLabel, level)
	_, err = namespaces.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return m.explain(ctx, err, "patch", "", "namespaces", "")
}

// podSecurityLevel is the strictest level that the gateway can run under.
func podSecurityLevel(values map[string]any) string {
	if udp, ok := values["udp"].(map[string]any); ok && udp["type"] == "HostPort" {
		return "privileged" // no lower level allows host ports
	}
	return "restricted"
}

// explainHelm says what a failure of Helm means.
func (m *Manager) explainHelm(ctx context.Context, err error, namespace string) error {
	text := err.Error()
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.Is(err, driver.ErrReleaseNotFound):
		return missing(namespace)
	case strings.Contains(text, "values don't meet the specifications of the schema"):
		return problem.New(problem.Usage, "charts/fairlead/README.md explains the values.", "the chart's values are not right: %s", schemaComplaint(text))
	case strings.Contains(text, "chart requires kubeVersion"):
		return problem.Wrap(err, problem.Usage, "The gateway needs Kubernetes 1.30 or newer.", "the cluster is too old")
	case strings.Contains(text, "another operation"):
		return busy("pending")
	case strings.Contains(text, "invalid ownership metadata"):
		return problem.Wrap(err, problem.Usage, "Delete the object that the message names, then install again.", "the cluster has an object that the gateway's chart would make")
	}
	return m.explain(ctx, err, "create", "", "the gateway's objects", namespace)
}

// schemaComplaint keeps the lines that say what is wrong, on one line.
func schemaComplaint(text string) string {
	var complaints []string
	for line := range strings.Lines(text) {
		if complaint, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			complaints = append(complaints, complaint)
		}
	}
	if len(complaints) == 0 {
		return text
	}
	return strings.Join(complaints, "; ")
}

func missing(namespace string) *problem.Problem {
	return problem.New(problem.GatewayMissing, "Install it: fairlead gateway install", "the gateway is not installed in namespace %s", namespace)
}

func busy(state string) *problem.Problem {
	return problem.New(problem.GatewayNotReady, fmt.Sprintf("Wait for it to end. If nobody works on it, try again in %s.", pendingFor),
		"another operation on the gateway is under way (%s)", state)
}
