// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"encoding/json"
	"time"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/diagnostics"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// Status is the session as every face shows it.
type Status = session.Status

// ConnectRequest is what a connection is made with.
type ConnectRequest = session.Options

// Version says which daemon answers.
type Version struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Socket  string    `json:"socket,omitempty"`
	Log     string    `json:"log,omitempty"` // log file
}

// Target names a cluster as kubectl would find it from the caller's shell.
type Target struct {
	Context     string   `json:"context,omitempty"`     // empty is the current context
	Namespace   string   `json:"namespace,omitempty"`   // empty is the context's, else default
	Kubeconfigs []string `json:"kubeconfigs,omitempty"` // absolute paths; empty is kubectl's default
	As          string   `json:"as,omitempty"`
	AsGroups    []string `json:"asGroups,omitempty"`
	// GatewayNamespace is where the gateway is; empty is "fairlead".
	GatewayNamespace string   `json:"gatewayNamespace,omitempty"`
	Environment      []string `json:"environment,omitempty"` // NAME=value, for credential plugins and proxies
	WorkingDirectory string   `json:"workingDirectory,omitempty"`
}

// TargetOf returns the cluster that a connection is made to.
func TargetOf(o session.Options) Target {
	return Target{
		Context: o.Context, Namespace: o.Namespace, Kubeconfigs: o.Kubeconfigs, As: o.As, AsGroups: o.AsGroups,
		GatewayNamespace: o.GatewayNamespace, Environment: o.Environment, WorkingDirectory: o.WorkingDirectory,
	}
}

// Explicit reports whether the caller chose a cluster or an identity, rather than taking what is there.
func (t Target) Explicit() bool {
	return t.Context != "" || len(t.Kubeconfigs) > 0 || t.As != "" || len(t.AsGroups) > 0
}

// WorkloadsRequest asks for the workloads of one namespace, or of all.
type WorkloadsRequest struct {
	Target
	AllNamespaces bool `json:"allNamespaces,omitempty"`
}

// Workloads is what runs in a cluster. While connected, and unless the request chose otherwise, it is the connected
// cluster.
type Workloads struct {
	Context   string     `json:"context"`
	Namespace string     `json:"namespace,omitempty"` // empty for all namespaces
	Workloads []Workload `json:"workloads"`
}

// Workload is something that runs pods.
type Workload = cluster.Workload

// Contexts are the contexts of the kubeconfig, sorted by name.
type Contexts struct {
	Current  string    `json:"current,omitempty"`
	Contexts []Context `json:"contexts"`
}

// Context is one context of a kubeconfig.
type Context = cluster.Context

// Namespaces are the namespaces of a cluster, sorted.
type Namespaces struct {
	Namespaces []string `json:"namespaces"`
}

// Check is one named thing that was looked at.
type Check = diagnostics.Check

// Report is the outcome of all checks.
type Report struct {
	OK     bool    `json:"ok"` // no check failed
	Checks []Check `json:"checks"`
}

// Helper says how the privileged helper of this machine is.
type Helper struct {
	Running    bool             `json:"running"`
	Version    string           `json:"version,omitempty"`
	Compatible bool             `json:"compatible"`
	State      string           `json:"state,omitempty"` // idle, prepared or up
	User       string           `json:"user,omitempty"`  // operating-system user who owns the tunnel
	Device     string           `json:"device,omitempty"`
	Problem    *problem.Problem `json:"problem,omitempty"` // why it does not answer or serve
}

// GatewayRequest asks for an install, upgrade or uninstall of the gateway.
type GatewayRequest struct {
	Target
	Values json.RawMessage `json:"values,omitempty"` // chart values, a JSON object
	// Image is repository:tag of the gateway; empty is the one that goes with this version.
	Image       string `json:"image,omitempty"`
	ServiceType string `json:"serviceType,omitempty"` // how datagrams reach the gateway; empty is the chart's default
	Force       bool   `json:"force,omitempty"`       // uninstall although people are connected
}

// Gateway says how the gateway in a cluster is.
type Gateway struct {
	Context     string        `json:"context,omitempty"`
	Namespace   string        `json:"namespace"`
	Installed   bool          `json:"installed"`
	Ready       bool          `json:"ready"`
	Version     string        `json:"version,omitempty"`
	Image       string        `json:"image,omitempty"`
	ServiceType string        `json:"serviceType,omitempty"`
	UDPPort     int           `json:"udpPort,omitempty"`   // of nodes or of the load balancer, for datagrams
	Endpoints   []string      `json:"endpoints,omitempty"` // address:port for datagrams; empty until somebody has connected
	Pods        []GatewayPod  `json:"pods,omitempty"`
	Connected   []GatewayUser `json:"connected,omitempty"`
	Notes       []string      `json:"notes,omitempty"`
}

// GatewayPod is one pod of the gateway.
type GatewayPod struct {
	Name   string `json:"name"`
	Node   string `json:"node,omitempty"`
	State  string `json:"state,omitempty"` // in words
	Ready  bool   `json:"ready"`
	Active bool   `json:"active"` // the one that serves
}

// GatewayUser is a laptop that is connected, or was a moment ago.
type GatewayUser struct {
	User      string     `json:"user"`
	Host      string     `json:"host,omitempty"` // name of the laptop
	Namespace string     `json:"namespace,omitempty"`
	Phase     string     `json:"phase,omitempty"`
	Carrier   string     `json:"carrier,omitempty"` // udp or relay
	Since     *time.Time `json:"since,omitempty"`
}

// Progress is a line about a long operation.
type Progress struct {
	Message string `json:"message"`
}

// failure is the body of a reply that is not 200.
type failure struct {
	Error *problem.Problem `json:"error"`
}
