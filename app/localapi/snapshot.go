// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"time"

	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/intercept"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/programs"
	"github.com/fairlead-dev/fairlead/backend/settings"
)

// Snapshot is all that a face shows without asking. It is whole: whoever missed some is right with the next one.
type Snapshot struct {
	// Revision grows with each change within one life of the daemon.
	Revision uint64     `json:"revision"`
	Daemon   DaemonInfo `json:"daemon"`
	Session  Status     `json:"session"` // with the intercepts of this laptop
	Helper   Helper     `json:"helper"`
	// Everyone is who intercepts what in the connected cluster, as far as this user may see it, this laptop's among them.
	Everyone []Intercept `json:"everyone"`
	// Workloads grows when the list of workloads may have changed, so that a face asks for it again.
	Workloads uint64 `json:"workloads"`
	// Work is what is under way, whoever began it.
	Work []Work `json:"work"`
	// Problems are what is wrong now, the worst first.
	Problems []Trouble `json:"problems"`
	// Activity is what happened lately, the newest first; at most 200.
	Activity []Event  `json:"activity"`
	Settings Settings `json:"settings"`
}

// DaemonInfo says whose Snapshot it is. A face that sees another start begins anew.
type DaemonInfo struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Log     string    `json:"log,omitempty"` // log file
}

// Work is something that takes a while.
type Work struct {
	ID      string    `json:"id"`   // can be cancelled by it where Stoppable
	What    string    `json:"what"` // connect, disconnect, intercept, leave, gateway-install, gateway-upgrade, gateway-uninstall or namespace
	Title   string    `json:"title"`
	Step    string    `json:"step,omitempty"` // what is going on, in words
	Began   time.Time `json:"began"`
	Context string    `json:"context,omitempty"`
	// Stoppable: POST /v1/cancel with the ID ends it.
	Stoppable bool `json:"stoppable,omitempty"`
}

// Trouble is a problem and what can be done about it with one click.
type Trouble struct {
	Problem problem.Problem `json:"problem"`
	Where   string          `json:"where,omitempty"` // context, or namespace/workload
	Since   time.Time       `json:"since"`
	Fix     *Fix            `json:"fix,omitempty"`
}

// Fix is what a button does. Action is one of connect, disconnect, install-gateway, upgrade-gateway, map-conflicts,
// leave, open-intercept, doctor, settings or copy.
type Fix struct {
	Action    string `json:"action"`
	Label     string `json:"label"`
	Context   string `json:"context,omitempty"`
	Intercept string `json:"intercept,omitempty"` // ID
	Command   string `json:"command,omitempty"`   // for copy: to be run in a terminal
}

// Event is one thing that happened.
type Event = activity.Event

// Settings is what the user has chosen.
type Settings = settings.Settings

// Program is a socket that a program of this machine listens on.
type Program = programs.Program

// Programs are those that wait for connections, by port.
type Programs struct {
	Programs []Program `json:"programs"`
	Note     string    `json:"note,omitempty"` // what the system does not tell
}

// Record is one request that was meant for this laptop.
type Record = intercept.Record

// Records are those that are new or have changed, in the order of their numbers. The first of a stream are all that are
// kept: the last 500.
type Records struct {
	Records []Record `json:"records"`
	// Dropped counts those left out since the last, because there were too many to show.
	Dropped uint64 `json:"dropped,omitempty"`
}

// ContextState is how a cluster is, as seen from here.
type ContextState struct {
	Context    string           `json:"context"`
	Reachable  bool             `json:"reachable"`
	Millis     float64          `json:"ms,omitempty"`         // for one answer of its API server
	Version    string           `json:"version,omitempty"`    // of Kubernetes
	User       string           `json:"user,omitempty"`       // as the cluster knows this user
	Gateway    string           `json:"gateway,omitempty"`    // ready, not-ready, missing, other-version or unknown
	GatewayBy  string           `json:"gatewayBy,omitempty"`  // its version
	MayInstall bool             `json:"mayInstall,omitempty"` // this user may install the gateway
	Problem    *problem.Problem `json:"problem,omitempty"`    // why it can't be reached, or what is wrong with the gateway
}

// GatewayPlan is what an install would do, before it does it.
type GatewayPlan struct {
	Context   string          `json:"context"`
	Namespace string          `json:"namespace"`
	Version   string          `json:"version"`
	Image     string          `json:"image"`
	Objects   []PlannedObject `json:"objects"`
	// Missing are the rights that this user lacks; then the install would be refused.
	Missing []MissingRight `json:"missing"`
}

// PlannedObject is one object of the chart.
type PlannedObject struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // empty for what is of the whole cluster
	What      string `json:"what"`                // create, change or keep
	Why       string `json:"why,omitempty"`       // what it is for, in a few words
}

// MissingRight is a right that this user lacks, and who can grant it.
type MissingRight struct {
	Verb      string `json:"verb"`
	Resource  string `json:"resource"` // with its group, such as deployments.apps
	Namespace string `json:"namespace,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// InterceptPreview says what an intercept would do, before it does it.
type InterceptPreview struct {
	Workload InterceptedWorkload `json:"workload"`
	Header   string              `json:"header,omitempty"`
	Baggage  string              `json:"baggage,omitempty"`
	Curl     string              `json:"curl,omitempty"`
	Share    string              `json:"share,omitempty"`
	// Touches says, a sentence each, what will happen and to whom.
	Touches []string `json:"touches"`
	// Warnings are what may surprise, such as a port that nothing listens on.
	Warnings []string `json:"warnings"`
	// Problem is why it would be refused.
	Problem *problem.Problem `json:"problem,omitempty"`
	Key     string           `json:"key,omitempty"` // the one given, or one made up that the intercept should be asked for with
}

// InterceptedWorkload is what a preview is about, with what can be picked.
type InterceptedWorkload struct {
	Namespace  string         `json:"namespace"`
	Kind       string         `json:"kind"`
	Name       string         `json:"name"`
	Pods       int            `json:"pods"` // that would be covered
	Containers []string       `json:"containers"`
	Ports      []WorkloadPort `json:"ports"`
}

// WorkloadPort is a port that can be intercepted.
type WorkloadPort struct {
	Name      string `json:"name,omitempty"`
	Port      int    `json:"port"`
	Protocol  string `json:"protocol"`
	Container string `json:"container,omitempty"`
	// Service is how callers name it, such as api:80; empty where no Service leads to it.
	Service string `json:"service,omitempty"`
	TLS     bool   `json:"tls,omitempty"`  // by its name or protocol; requests in it can't be told apart
	Busy    string `json:"busy,omitempty"` // who intercepts it, and what
}

// EnvironmentFile is the environment of a container as a file has it.
type EnvironmentFile struct {
	Name string `json:"name"` // that such a file usually has
	Text string `json:"text"`
}

// EnvironmentFileRequest asks for it.
type EnvironmentFileRequest struct {
	EnvironmentRequest
	Format string `json:"format"` // docker, compose, sh or json
}

// TerminalRequest opens a terminal on this machine, with the environment of a workload's container.
type TerminalRequest struct {
	EnvironmentRequest
}

// NamespaceRequest names the namespace whose names resolve without a suffix, in the connection that there is.
type NamespaceRequest struct {
	Namespace string `json:"namespace"`
}

// BundlePlan says what a support bundle would contain.
type BundlePlan struct {
	Name  string       `json:"name"` // of the file
	Files []BundleFile `json:"files"`
}

// BundleFile is one file of a support bundle.
type BundleFile struct {
	Name    string `json:"name"`
	What    string `json:"what"` // in words, with what is left out of it
	Bytes   int    `json:"bytes"`
	Preview string `json:"preview"` // the beginning, as it would be in the bundle
}
