// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Workload is something that runs pods, with the ports that its pods have. It is plain data.
type Workload struct {
	Namespace string   `json:"namespace"`
	Kind      string   `json:"kind"` // Deployment, StatefulSet, DaemonSet or Pod, for a pod that nothing owns
	Name      string   `json:"name"`
	Ready     int32    `json:"ready"`
	Desired   int32    `json:"desired"`
	Ports     []Port   `json:"ports,omitempty"`
	Services  []string `json:"services,omitempty"` // names of the Services that select its pods
	// ServicePorts are the ports of those Services; of headless ones none, since they lead to the pods' own ports.
	ServicePorts []ServicePort `json:"servicePorts,omitempty"`
	// State is ready, progressing, failing or scaled to zero.
	State   string `json:"state"`
	Message string `json:"message,omitempty"` // why, where the cluster says so
	// Intercepts are those of its traffic; Workloads leaves them out.
	Intercepts []WorkloadIntercept `json:"intercepts,omitempty"`
}

// WorkloadIntercept says who intercepts a workload.
type WorkloadIntercept struct {
	Name  string `json:"name"`
	User  string `json:"user"`
	What  string `json:"what"`            // which requests, in words
	Phase string `json:"phase,omitempty"` // of the Intercept object
}

// Port is a port that a workload's containers declare.
type Port struct {
	Name      string `json:"name,omitempty"`
	Port      int32  `json:"port"`
	Protocol  string `json:"protocol"` // TCP, UDP or SCTP
	Container string `json:"container,omitempty"`
}

// ServicePort is a port that a Service has.
type ServicePort struct {
	Service     string `json:"service"`
	Name        string `json:"name,omitempty"`
	Port        int32  `json:"port"`
	Protocol    string `json:"protocol"` // TCP, UDP or SCTP
	AppProtocol string `json:"appProtocol,omitempty"`
}

// What a workload's State can be.
const (
	WorkloadReady       = "ready"
	WorkloadProgressing = "progressing"
	WorkloadFailing     = "failing"
	WorkloadIdle        = "scaled to zero"
)

// inventory is what the cluster says about workloads, before it is put together.
type inventory struct {
	deployments  []apps.Deployment
	statefulSets []apps.StatefulSet
	daemonSets   []apps.DaemonSet
	pods         []core.Pod
	services     []core.Service
}

// Workloads lists the workloads of a namespace, or of all with "". Kinds that the user may not list are left out as
// long as one may be listed. Errors are *problem.Problem.
func (a *Access) Workloads(ctx context.Context, namespace string) ([]Workload, error) {
	var found inventory
	cached := metav1.ListOptions{ResourceVersion: "0"} // from the API server's memory
	appsV1, coreV1 := a.clients.AppsV1(), a.clients.CoreV1()
	calls := []struct {
		action Action
		list   func(context.Context) error
	}{
		{Action{"list", "apps", "deployments", namespace}, func(ctx context.Context) error {
			list, err := appsV1.Deployments(namespace).List(ctx, cached)
			found.deployments = list.Items
			return err
		}},
		{Action{"list", "apps", "statefulsets", namespace}, func(ctx context.Context) error {
			list, err := appsV1.StatefulSets(namespace).List(ctx, cached)
			found.statefulSets = list.Items
			return err
		}},
		{Action{"list", "apps", "daemonsets", namespace}, func(ctx context.Context) error {
			list, err := appsV1.DaemonSets(namespace).List(ctx, cached)
			found.daemonSets = list.Items
			return err
		}},
		{Action{"list", "", "pods", namespace}, func(ctx context.Context) error {
			list, err := coreV1.Pods(namespace).List(ctx, cached)
			found.pods = list.Items
			return err
		}},
		{Action{"list", "", "services", namespace}, func(ctx context.Context) error {
			list, err := coreV1.Services(namespace).List(ctx, cached)
			found.services = list.Items
			return err
		}},
	}
	refused := make([]error, len(calls))
	group, ctx := errgroup.WithContext(ctx)
	for i, call := range calls {
		group.Go(func() error {
			err := call.list(ctx)
			if apierrors.IsForbidden(err) {
				refused[i] = a.Explain(ctx, err, call.action)
				return nil
			}
			return a.Explain(ctx, err, call.action)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if !slices.Contains(refused[:4], nil) {
		return nil, refused[0]
	}
	return found.workloads(), nil
}

// workloads puts the inventory together, by namespace, kind and name.
func (v inventory) workloads() []Workload {
	var all []Workload
	for _, d := range v.deployments {
		w := v.workload("Deployment", d.ObjectMeta, d.Spec.Template)
		w.count(d.Status.ReadyReplicas, replicas(d.Spec.Replicas))
		for _, c := range d.Status.Conditions {
			if c.Type == apps.DeploymentProgressing && c.Status == core.ConditionFalse || c.Type == apps.DeploymentReplicaFailure && c.Status == core.ConditionTrue {
				w.State, w.Message = WorkloadFailing, c.Message
			}
		}
		all = append(all, w)
	}
	for _, s := range v.statefulSets {
		w := v.workload("StatefulSet", s.ObjectMeta, s.Spec.Template)
		w.count(s.Status.ReadyReplicas, replicas(s.Spec.Replicas))
		all = append(all, w)
	}
	for _, d := range v.daemonSets {
		w := v.workload("DaemonSet", d.ObjectMeta, d.Spec.Template)
		w.count(d.Status.NumberReady, d.Status.DesiredNumberScheduled)
		all = append(all, w)
	}
	for _, p := range v.pods {
		if metav1.GetControllerOf(&p) != nil || p.Status.Phase == core.PodSucceeded {
			continue
		}
		w := v.workload("Pod", p.ObjectMeta, core.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec})
		w.count(readyPods([]core.Pod{p}), 1)
		all = append(all, w)
	}
	for i := range all {
		v.explain(&all[i])
	}
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.Namespace != b.Namespace {
			return a.Namespace < b.Namespace
		}
		if a.Kind != b.Kind {
			return a.Kind < b.Kind
		}
		return a.Name < b.Name
	})
	return all
}

// workload describes what does not depend on the kind.
func (v inventory) workload(kind string, meta metav1.ObjectMeta, template core.PodTemplateSpec) Workload {
	w := Workload{Namespace: meta.Namespace, Kind: kind, Name: meta.Name}
	containers := slices.Clone(template.Spec.Containers)
	for _, c := range template.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == core.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, p := range c.Ports {
			w.Ports = append(w.Ports, Port{Name: p.Name, Port: p.ContainerPort, Protocol: cmpProtocol(p.Protocol), Container: c.Name})
		}
	}
	for _, s := range v.services {
		if s.Namespace == meta.Namespace && len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(template.Labels)) {
			w.Services = append(w.Services, s.Name)
			w.ServicePorts = append(w.ServicePorts, servicePorts(s)...)
		}
	}
	sort.Strings(w.Services)
	sort.SliceStable(w.ServicePorts, func(i, j int) bool { return w.ServicePorts[i].Service < w.ServicePorts[j].Service })
	return w
}

func servicePorts(s core.Service) []ServicePort {
	if s.Spec.ClusterIP == core.ClusterIPNone {
		return nil
	}
	var ports []ServicePort
	for _, p := range s.Spec.Ports {
		port := ServicePort{Service: s.Name, Name: p.Name, Port: p.Port, Protocol: cmpProtocol(p.Protocol)}
		if p.AppProtocol != nil {
			port.AppProtocol = *p.AppProtocol
		}
		ports = append(ports, port)
	}
	return ports
}

func (w *Workload) count(ready, desired int32) {
	w.Ready, w.Desired = ready, desired
	switch {
	case desired == 0:
		w.State = WorkloadIdle
	case ready >= desired:
		w.State = WorkloadReady
	default:
		w.State = WorkloadProgressing
	}
}

// explain says why a workload is not ready, from the pods that carry its name in their owner's or their own.
func (v inventory) explain(w *Workload) {
	if w.State != WorkloadProgressing {
		return
	}
	for _, p := range v.pods {
		if p.Namespace != w.Namespace || !belongsTo(p, *w) {
			continue
		}
		for _, c := range p.Status.ContainerStatuses {
			if waiting := c.State.Waiting; waiting != nil && waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing" {
				w.State, w.Message = WorkloadFailing, fmt.Sprintf("pod %s: %s: %s", p.Name, c.Name, waiting.Reason)
				return
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == core.PodScheduled && c.Status == core.ConditionFalse {
				w.State, w.Message = WorkloadFailing, fmt.Sprintf("pod %s can't be scheduled: %s", p.Name, c.Message)
				return
			}
		}
	}
}

// belongsTo reports whether a pod is of a workload: directly, or of a ReplicaSet that a Deployment has named after
// itself and its pod template.
func belongsTo(p core.Pod, w Workload) bool {
	owner := metav1.GetControllerOf(&p)
	switch {
	case owner == nil:
		return w.Kind == "Pod" && p.Name == w.Name
	case w.Kind == "Deployment":
		hash := p.Labels[apps.DefaultDeploymentUniqueLabelKey]
		return owner.Kind == "ReplicaSet" && hash != "" && owner.Name == w.Name+"-"+hash
	}
	return owner.Kind == w.Kind && owner.Name == w.Name
}

func readyPods(pods []core.Pod) int32 {
	var n int32
	for _, p := range pods {
		if slices.ContainsFunc(p.Status.Conditions, func(c core.PodCondition) bool {
			return c.Type == core.PodReady && c.Status == core.ConditionTrue
		}) {
			n++
		}
	}
	return n
}

// replicas is what the API's default makes of a missing number.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func cmpProtocol(p core.Protocol) string {
	if p == "" {
		return string(core.ProtocolTCP)
	}
	return strings.ToUpper(string(p))
}

// Namespaces lists the names of the cluster's namespaces. Errors are *problem.Problem.
func (a *Access) Namespaces(ctx context.Context) ([]string, error) {
	list, err := a.clients.CoreV1().Namespaces().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "list", Resource: "namespaces"})
	}
	names := make([]string, 0, len(list.Items))
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	sort.Strings(names)
	return names, nil
}

// HasNamespace reports whether the cluster has a namespace. Errors are *problem.Problem.
func (a *Access) HasNamespace(ctx context.Context, name string) (bool, error) {
	_, err := a.clients.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, a.Explain(ctx, err, Action{Verb: "get", Resource: "namespaces"})
}
