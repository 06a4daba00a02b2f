// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/charts"
)

// Effect is what an install does to an object.
type Effect string

const (
	Create Effect = "create"
	Change Effect = "change"
	Keep   Effect = "keep"
)

// Plan is what an install or upgrade would do.
type Plan struct {
	Namespace string
	Version   string
	Image     string // of the gateway
	Objects   []Object
	Missing   []cluster.Action // rights that the user lacks for it
}

// Object is one that the install makes, or makes sure of.
type Object struct {
	Kind, Name, Namespace string
	What                  Effect
	Why                   string // what it is for
}

// Plan says what Install or Upgrade with these options would do, without changing anything. It renders the chart as they
// do. What the user may not look at counts as missing.
func (m *Manager) Plan(ctx context.Context, options Options) (Plan, error) {
	options = options.normal()
	plan := Plan{Namespace: options.Namespace, Version: options.Version}
	values, err := options.values()
	if err != nil {
		return plan, err
	}
	chart, err := charts.Load(options.Version)
	if err != nil {
		return plan, err
	}
	if err := m.ensureOnly(ctx, options.Namespace); err != nil && !isForbidden(err) {
		return plan, err
	}
	helm, err := m.helmFor(options.Namespace)
	if err != nil {
		return plan, m.explain(ctx, err, "get", "", "version", "")
	}
	last, err := helm.last()
	if err = m.explain(ctx, err, "list", "", "secrets", options.Namespace); err != nil && !isForbidden(err) {
		return plan, err
	}
	var before []*unstructured.Unstructured
	if last != nil {
		values = merge(last.Config, values)
		if before, err = readManifest(last.Manifest); err != nil {
			return plan, err
		}
	}
	wanted, err := m.render(ctx, helm, chart, values, last != nil)
	if err != nil {
		return plan, err
	}
	plan.Image = gatewayImage(wanted)
	if plan.Objects, err = m.compare(ctx, options.Namespace, wanted, before); err != nil {
		return plan, err
	}
	if plan.Missing, err = m.cluster.Missing(ctx, rightsFor(plan)); err != nil {
		return plan, err
	}
	if !slices.ContainsFunc(plan.Missing, func(a cluster.Action) bool { return a.Resource == "clusterroles" }) {
		plan.Missing = append(plan.Missing, m.escalation(ctx, plan, wanted)...)
	}
	return plan, nil
}

func isForbidden(err error) bool { return errors.Is(err, problem.New(problem.Forbidden, "", "")) }

// render returns the chart's objects.
func (m *Manager) render(ctx context.Context, h *helm, chart *chart.Chart, values map[string]any, upgrade bool) ([]*unstructured.Unstructured, error) {
	manifest, err := h.render(ctx, chart, values, upgrade)
	if err != nil {
		return nil, m.explainHelm(ctx, err, h.namespace)
	}
	return readManifest(manifest)
}

// readManifest reads the objects of a release.
func readManifest(manifest string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the chart's objects: %w", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// gatewayImage is the image of the gateway's Deployment.
func gatewayImage(objects []*unstructured.Unstructured) string {
	for _, object := range objects {
		if object.GetKind() != "Deployment" || object.GetName() != deploymentName {
			continue
		}
		containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		for _, c := range containers {
			if container, ok := c.(map[string]any); ok {
				image, _, _ := unstructured.NestedString(container, "image")
				return image
			}
		}
	}
	return ""
}

// compare says what becomes of each object, the namespace first. before are those of the release that there is.
func (m *Manager) compare(ctx context.Context, namespace string, wanted, before []*unstructured.Unstructured) ([]Object, error) {
	ns := Object{Kind: "Namespace", Name: namespace, What: Keep, Why: reasons["Namespace"]}
	if _, err := m.clients.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		ns.What = Create
	}
	objects := make([]Object, len(wanted))
	failures := make([]error, len(wanted))
	var looks sync.WaitGroup
	for i, object := range wanted {
		looks.Go(func() {
			resource, namespaced := resourceOf(object.GroupVersionKind())
			o := Object{Kind: object.GetKind(), Name: object.GetName(), Why: reasonFor(object)}
			if namespaced {
				o.Namespace = object.GetNamespace()
				if o.Namespace == "" {
					o.Namespace = namespace
				}
			}
			_, err := m.dynamic.Resource(resource).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
			last := find(before, object)
			switch {
			case apierrors.IsNotFound(err) || apierrors.IsForbidden(err) && last == nil:
				o.What = Create
			case err != nil && !apierrors.IsForbidden(err):
				failures[i] = m.explain(ctx, err, "get", resource.Group, resource.Resource, o.Namespace)
			case last != nil && reflect.DeepEqual(last.Object, object.Object):
				o.What = Keep
			default:
				o.What = Change
			}
			objects[i] = o
		})
	}
	looks.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	return append([]Object{ns}, objects...), nil
}

func find(objects []*unstructured.Unstructured, like *unstructured.Unstructured) *unstructured.Unstructured {
	for _, o := range objects {
		if o.GetKind() == like.GetKind() && o.GetName() == like.GetName() && o.GetNamespace() == like.GetNamespace() {
			return o
		}
	}
	return nil
}

// resourceOf returns what the API server calls a kind of the chart, and whether its objects are in namespaces.
func resourceOf(kind schema.GroupVersionKind) (resource schema.GroupVersionResource, namespaced bool) {
	if mapping, err := chartKinds().RESTMapping(kind.GroupKind(), kind.Version); err == nil {
		return mapping.Resource, mapping.Scope.Name() == meta.RESTScopeNameNamespace
	}
	resource, _ = meta.UnsafeGuessKindToResource(kind) // such as a ServiceMonitor
	return resource, true
}

// rightsFor are the rights that an install needs: for Helm's record of the release, for each object, and to see that the
// gateway serves.
func rightsFor(p Plan) []cluster.Action {
	rights := []cluster.Action{
		{Verb: "list", Resource: "secrets", Namespace: p.Namespace},
		{Verb: "create", Resource: "secrets", Namespace: p.Namespace},
		{Verb: "update", Resource: "secrets", Namespace: p.Namespace},
		{Verb: "watch", Group: "apps", Resource: "deployments", Namespace: p.Namespace},
		{Verb: "watch", Resource: "pods", Namespace: p.Namespace},
	}
	for _, o := range p.Objects {
		resource, _ := resourceOf(o.kind())
		right := cluster.Action{Group: resource.Group, Resource: resource.Resource, Namespace: o.Namespace}
		verbs := []string{"get", "patch"}
		switch {
		case o.Kind == "Namespace" && o.What == Keep: // it is there, and stays as it is
			continue
		case o.What == Create:
			verbs = []string{"get", "create"}
		}
		for _, verb := range verbs {
			right.Verb = verb
			if !slices.Contains(rights, right) {
				rights = append(rights, right)
			}
		}
	}
	return rights
}

// kind is the object's, as the chart has it.
func (o Object) kind() schema.GroupVersionKind {
	for kind := range kinds() {
		if kind.Kind == o.Kind {
			return kind
		}
	}
	return schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: o.Kind}
}

// escalation asks, by a dry run, whether the user may give the rights that the chart's cluster roles have: the API server
// lets nobody give what they do not have.
func (m *Manager) escalation(ctx context.Context, p Plan, wanted []*unstructured.Unstructured) []cluster.Action {
	right := cluster.Action{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}
	if missing, err := m.cluster.Missing(ctx, []cluster.Action{right}); err != nil || len(missing) == 0 {
		return nil
	}
	for _, object := range wanted {
		isNew := slices.ContainsFunc(p.Objects, func(o Object) bool {
			return o.Kind == "ClusterRole" && o.What == Create && o.Name == object.GetName()
		})
		if object.GetKind() != "ClusterRole" || !isNew {
			continue
		}
		resource, _ := resourceOf(object.GroupVersionKind())
		if _, err := m.dynamic.Resource(resource).Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); apierrors.IsForbidden(err) {
			return []cluster.Action{right}
		}
	}
	return nil
}

// reasons say what objects are for: by kind and name, or by kind.
var reasons = map[string]string{
	"Namespace":                        "holds the gateway",
	"CustomResourceDefinition":         "API types of connections and intercepts",
	"Deployment":                       "the gateway itself: one small pod without privilege",
	"ServiceAccount":                   "identity of the gateway",
	"Service/" + deploymentName:        "where laptops send UDP packets",
	"Service/fairlead-sidecars":        "where sidecars of intercepted pods reach the gateway",
	"Service/fairlead-gateway-metrics": "where Prometheus reads figures",
	"ServiceMonitor":                   "tells Prometheus where figures are",
	"Secret":                           "keys of the gateway, so that a new pod is known to laptops",
	"Lease":                            "which pod of the gateway serves",
	"MutatingWebhookConfiguration":     "gives new pods of intercepted workloads a sidecar; empty while nothing is intercepted",
	"ClusterRole/" + deploymentName:    "what the gateway may do",
	"ClusterRole/fairlead-developer":   "lets who may edit a namespace intercept there",
	"ClusterRole/fairlead-viewer":      "lets who may view a namespace see intercepts",
	"ClusterRoleBinding":               "gives the gateway its rights",
	"Role/" + deploymentName:           "what the gateway may do in its namespace",
	"RoleBinding/" + deploymentName:    "gives the gateway its rights in its namespace",
	"Role/fairlead-connect":            "what people need to connect",
	"RoleBinding/fairlead-connect":     "says who may connect",
	"ValidatingAdmissionPolicy":        "only owners change their connections and intercepts",
	"ValidatingAdmissionPolicyBinding": "makes that policy count",
	"PodDisruptionBudget":              "keeps a pod of the gateway while nodes are drained",
	"NetworkPolicy":                    "who may reach the gateway",
}

func reasonFor(object *unstructured.Unstructured) string {
	if reason, ok := reasons[object.GetKind()+"/"+object.GetName()]; ok {
		return reason
	}
	return reasons[object.GetKind()]
}
