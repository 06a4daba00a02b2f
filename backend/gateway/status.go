// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
)

// Status says how the gateway of a cluster is.
type Status struct {
	Namespace string
	Installed bool
	Ready     bool // a pod serves
	Version   string
	Image     string
	UDPType   string   // the chart's udp.type
	UDPPort   int      // of nodes or of the load balancer; 0 without a Service, or if the user may not look at it
	Endpoints []string // ip:port for datagrams, as laptops are told; empty until one has connected
	Pods      []Pod
	Connected []Connection // who is connected or was a moment ago, in order of user
	Notes     []string
}

// Pod is one pod of the gateway.
type Pod struct {
	Name, Node, State string
	Ready, Active     bool
}

// Connection is a laptop.
type Connection struct {
	User, Host, Namespace, Phase, Carrier string
	Since                                 time.Time
}

// Live reports whether the laptop is there, as far as the gateway knows.
func (c Connection) Live() bool { return c.Phase == string(v1alpha1.ConnectionReady) }

// Status looks at the gateway. A gateway that is not installed is no error. An empty namespace is DefaultNamespace.
func (m *Manager) Status(ctx context.Context, namespace string) (Status, error) {
	if namespace == "" {
		namespace = DefaultNamespace
	}
	status := Status{Namespace: namespace}
	deployment, err := m.clients.AppsV1().Deployments(namespace).Get(ctx, deploymentName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return status, nil
	}
	if err != nil {
		return status, m.explain(ctx, err, "get", "apps", "deployments", namespace)
	}
	status.describe(deployment)

	var service *corev1.Service
	var pods *corev1.PodList
	var connections []v1alpha1.Connection
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		pods, err = m.clients.CoreV1().Pods(namespace).List(groupCtx, metav1.ListOptions{LabelSelector: podSelector})
		return m.explain(groupCtx, err, "list", "", "pods", namespace)
	})
	group.Go(func() (err error) {
		connections, err = m.connections(groupCtx, namespace)
		return err
	})
	group.Go(func() (err error) {
		if service, err = m.clients.CoreV1().Services(namespace).Get(groupCtx, deploymentName, metav1.GetOptions{}); err != nil {
			service = nil // nothing depends on it
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return status, err
	}
	status.UDPPort = udpPort(service)
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		described := Pod{
			Name: pod.Name, Node: pod.Spec.NodeName, State: cluster.PodState(pod), Ready: podReady(&pod),
			Active: pod.Labels[cluster.ActiveLabel] == "true",
		}
		status.Ready = status.Ready || described.Ready && described.Active
		status.Pods = append(status.Pods, described)
	}
	for _, connection := range connections {
		status.Connected = append(status.Connected, describeConnection(connection))
		if len(connection.Status.Endpoints.UDP) > 0 {
			status.Endpoints = connection.Status.Endpoints.UDP
		}
	}
	slices.SortFunc(status.Connected, func(a, b Connection) int { return strings.Compare(a.User, b.User) })
	return status, nil
}

// udpPort is where datagrams from outside go in; 0 if there is no Service for that.
func udpPort(s *corev1.Service) int {
	switch {
	case s == nil || len(s.Spec.Ports) == 0:
		return 0
	case s.Spec.Type == corev1.ServiceTypeNodePort:
		return int(s.Spec.Ports[0].NodePort)
	}
	return int(s.Spec.Ports[0].Port)
}

// describe takes what the Deployment says.
func (s *Status) describe(d *appsv1.Deployment) {
	s.Installed = true
	s.Version = d.Labels[cluster.VersionLabel]
	s.Image = describeImage(d)
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if udpType, ok := strings.CutPrefix(arg, "--udp-type="); ok {
				s.UDPType = udpType
			}
		}
	}
	if !rolledOut(d) {
		s.Notes = append(s.Notes, "the deployment is changing: "+strconv.Itoa(int(d.Status.AvailableReplicas))+" pods are available")
	}
}

// connections lists who is connected. Without our API types nobody is.
func (m *Manager) connections(ctx context.Context, namespace string) ([]v1alpha1.Connection, error) {
	list, err := m.dynamic.Resource(v1alpha1.Connections).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, m.explain(ctx, err, "list", v1alpha1.GroupVersion.Group, "connections", namespace)
	}
	var connections []v1alpha1.Connection
	for _, item := range list.Items {
		var connection v1alpha1.Connection
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &connection); err != nil {
			return nil, m.explain(ctx, err, "list", v1alpha1.GroupVersion.Group, "connections", namespace)
		}
		connections = append(connections, connection)
	}
	return connections, nil
}

func describeConnection(c v1alpha1.Connection) Connection {
	return Connection{
		User: c.Spec.User, Host: c.Spec.Host, Namespace: c.Spec.Namespace, Phase: string(c.Status.Phase),
		Carrier: c.Status.Carrier, Since: c.CreationTimestamp.Time,
	}
}
