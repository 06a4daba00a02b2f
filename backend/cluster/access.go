// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	"k8s.io/client-go/rest"
)

// Options say which cluster, and as whom. The zero value is what kubectl without flags uses.
type Options struct {
	Kubeconfigs      []string // files in order of precedence; empty is KUBECONFIG of Environment, else ~/.kube/config
	Context          string   // empty is the current context
	Namespace        string   // empty is the context's, else default
	As               string   // impersonated user
	AsGroups         []string // impersonated groups
	Environment      []string // NAME=value, for exec plugins and proxies; empty is this process's
	WorkingDirectory string   // makes relative paths absolute; empty is this process's
}

// Access is a user's access to one cluster. It is safe for concurrent use. Close it to let go of its connections.
type Access struct{}

// Open reads the kubeconfig and returns access to the cluster that it names. It does no network I/O. Errors are
// *problem.Problem.
func Open(o Options) (*Access, error) { return &Access{}, nil }

// RESTConfig returns a copy of the client configuration, without rate limits.
func (a *Access) RESTConfig() *rest.Config { return nil }

// Context returns the name of the kubeconfig context, Server the URL of the API server, Namespace the namespace that
// unqualified names are in.
func (a *Access) Context() string   { return "" }
func (a *Access) Server() string    { return "" }
func (a *Access) Namespace() string { return "" }

// Identity asks the API server who the user is.
func (a *Access) Identity(ctx context.Context) (string, error) { return "", nil }

// Close lets go of idle connections.
func (a *Access) Close() {}

// Context is one context of the kubeconfig.
type Context struct {
	Name      string `json:"name"`
	Cluster   string `json:"cluster"`
	Server    string `json:"server,omitempty"`
	User      string `json:"user,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Current   bool   `json:"current"`
}

// Contexts lists the contexts of the kubeconfig, by name. Errors are *problem.Problem.
func Contexts(o Options) ([]Context, error) { return nil, nil }

// Namespaces lists the names of the cluster's namespaces that the user may list.
func (a *Access) Namespaces(ctx context.Context) ([]string, error) { return nil, nil }

// Workload is something that runs pods, with the ports that its pods and Services have.
type Workload struct {
	Namespace string   `json:"namespace"`
	Kind      string   `json:"kind"` // Deployment, StatefulSet, DaemonSet, ReplicaSet, Pod
	Name      string   `json:"name"`
	Ready     int32    `json:"ready"`
	Desired   int32    `json:"desired"`
	Ports     []Port   `json:"ports,omitempty"`
	Services  []string `json:"services,omitempty"` // names of the Services that select its pods
	State     string   `json:"state"`              // ready, progressing, scaled to zero, failing
	Message   string   `json:"message,omitempty"`
}

// Port is a port of a workload's pods.
type Port struct {
	Name      string `json:"name,omitempty"`
	Port      int32  `json:"port"`
	Protocol  string `json:"protocol"` // TCP, UDP, SCTP
	Container string `json:"container,omitempty"`
}

// Workloads lists the workloads of a namespace, or of all with "". Errors are *problem.Problem.
func (a *Access) Workloads(ctx context.Context, namespace string) ([]Workload, error) {
	return nil, nil
}
