// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

const (
	// DefaultNamespace is where the gateway is unless told otherwise.
	DefaultNamespace = "fairlead"

	// ReleaseName is what the Helm release is called.
	ReleaseName = "fairlead"

	// deploymentName is the gateway's Deployment.
	deploymentName = "fairlead-gateway"

	// podSelector finds the gateway's pods.
	podSelector = "app.kubernetes.io/name=fairlead,app.kubernetes.io/component=gateway"
)

// DefaultTimeout is how long an operation may take, images that must be pulled included.
const DefaultTimeout = 3 * time.Minute

// Cluster is access to the cluster; *cluster.Access is one.
type Cluster interface {
	RESTConfig() *rest.Config
	// Explain turns an error of the API server into a *problem.Problem.
	Explain(ctx context.Context, err error, action cluster.Action) error
	// Missing returns those of the rights that the user does not have.
	Missing(ctx context.Context, rights []cluster.Action) ([]cluster.Action, error)
}

// Options is what an operation is made with. The zero value installs this program's version with the chart's values.
type Options struct {
	Namespace string         // empty is DefaultNamespace
	Values    map[string]any // of the chart; they go over those of the installed release
	Version   string         // of chart and image
	Image     string         // repository[:tag][@digest]; empty is the chart's, with Version as its tag
	UDPType   string         // the chart's udp.type; empty leaves it
	Force     bool           // uninstall although people are connected
	NoWait    bool           // return before the gateway serves
	Timeout   time.Duration  // 0 is DefaultTimeout
	Progress  func(string)   // gets each step in words; may be nil
}

// Manager works on the gateway of one cluster. It is safe for concurrent use; operations that change something
// exclude one another by way of the release.
type Manager struct {
	cluster Cluster
	config  *rest.Config
	clients kubernetes.Interface
	dynamic dynamic.Interface
}

// NewManager makes a Manager.
func NewManager(access Cluster) (*Manager, error) {
	config := access.RESTConfig()
	config.QPS, config.Burst = -1, 0 // an install is a burst of some twenty requests
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	dynamics, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &Manager{cluster: access, config: config, clients: clients, dynamic: dynamics}, nil
}

// normal fills in what is left open.
func (o Options) normal() Options {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// explain says what an API call's failure means; problems stay what they are.
func (m *Manager) explain(ctx context.Context, err error, verb, group, resource, namespace string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return m.cluster.Explain(ctx, err, cluster.Action{Verb: verb, Group: group, Resource: resource, Namespace: namespace})
}

// interrupted says why an operation ended early.
func interrupted(ctx context.Context) error {
	if context.Cause(ctx) == context.DeadlineExceeded {
		return problem.New(problem.Timeout, "See 'fairlead gateway status'; the operation may be repeated.", "the operation took too long")
	}
	return problem.New(problem.Cancelled, "The operation may be repeated.", "the operation was interrupted")
}
