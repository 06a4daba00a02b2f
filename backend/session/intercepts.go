// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// What an Intercept's Phase can be, once the gateway has said something.
const (
	InterceptPending   = string(v1alpha1.InterceptPending)
	InterceptActive    = string(v1alpha1.InterceptActive)
	InterceptSuspended = string(v1alpha1.InterceptSuspended)
	InterceptRefused   = string(v1alpha1.InterceptRefused)
	InterceptEnded     = string(v1alpha1.InterceptEnded)
)

// Intercept is what is true of one intercept. It is plain data. Counts and pods are the gateway's word; what is local is
// known only for intercepts of this laptop.
type Intercept struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	ID        string            `json:"id"` // UID of the object
	User      string            `json:"user"`
	Mine      bool              `json:"mine"` // it comes to this laptop
	Workload  InterceptWorkload `json:"workload"`
	// Phase is Pending, Active, Suspended, Refused or Ended; empty before the gateway has said anything.
	Phase   string `json:"phase,omitempty"`
	Message string `json:"message,omitempty"`

	Ports  []InterceptedPort `json:"ports"`
	All    bool              `json:"all,omitempty"` // all traffic of the ports is meant
	Key    string            `json:"key,omitempty"`
	Where  []Condition       `json:"where,omitempty"` // on headers
	Path   *Condition        `json:"path,omitempty"`
	Mirror bool              `json:"mirror,omitempty"` // the laptop gets a copy

	// Header, Baggage and Curl say how a request is made that is meant: a header line, the same for tracing libraries, and
	// a command that works from the laptop while it is connected.
	Header  string `json:"header,omitempty"`
	Baggage string `json:"baggage,omitempty"`
	Curl    string `json:"curl,omitempty"`
	Share   string `json:"share,omitempty"` // text for a teammate

	Redirect       string          `json:"redirect,omitempty"` // Instant or Unprivileged
	RedirectReason string          `json:"redirectReason,omitempty"`
	PodsReady      int             `json:"podsReady"`
	PodsCovered    int             `json:"podsCovered"`
	Pods           []InterceptPod  `json:"pods,omitempty"`
	Counts         InterceptCounts `json:"counts"`

	Created     *time.Time `json:"created,omitempty"`
	Since       *time.Time `json:"since,omitempty"` // active since
	Expires     *time.Time `json:"expires,omitempty"`
	SilentSince *time.Time `json:"silentSince,omitempty"` // its laptop has not been heard since
	Notes       []string   `json:"notes,omitempty"`
	// Attached: it ends with the program that made it.
	Attached bool `json:"attached,omitempty"`
	// Leaving: this laptop is about to leave it, or just has.
	Leaving bool `json:"leaving,omitempty"`
}

// InterceptWorkload is whose traffic is meant.
type InterceptWorkload struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Container string `json:"container,omitempty"`
}

// InterceptedPort is one port of the workload and where its traffic goes.
type InterceptedPort struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`        // TCP or UDP
	Local    string `json:"local,omitempty"` // such as 127.0.0.1:3000
	// Listening: a program answers at Local.
	Listening bool `json:"listening"`
}

// Condition is one on a header's value or on the path.
type Condition struct {
	Header string `json:"header,omitempty"` // name; empty for the path
	How    string `json:"how"`              // exact, prefix or regex
	Value  string `json:"value"`
}

// InterceptPod is one pod of an intercepted workload.
type InterceptPod struct {
	Name      string `json:"name"`
	Covered   bool   `json:"covered"`
	Message   string `json:"message,omitempty"`
	Bypassing int    `json:"bypassing,omitempty"` // connections from before that still go to the app
}

// InterceptCounts are requests, or connections where requests are not told apart.
type InterceptCounts struct {
	Matched    uint64 `json:"matched"`
	Passed     uint64 `json:"passed"`
	FallenBack uint64 `json:"fallenBack"` // meant, but the laptop did not take them
	Unreadable uint64 `json:"unreadable"` // such as TLS
}

// Hooks are for what lives inside a connection: intercepts. The functions must not call the Manager.
type Hooks interface {
	// TunnelUp is called each time a tunnel has been built, at first and after each interruption. It must return at once.
	TunnelUp(Tunnel)
	// TunnelDown is called when that tunnel is gone. Another may come. It must return at once.
	TunnelDown()
	// Leave is called before the session ends, while the cluster and, if there is one, the tunnel can still be used. It
	// returns when everything is left or ctx is done.
	Leave(ctx context.Context)
	// Ended is called when the session has ended; a Tunnel before it is of no use any more.
	Ended()
}

// Tunnel is what a session offers to Hooks while it has a tunnel.
type Tunnel struct {
	Access           *cluster.Access // open until the session ends
	User             string
	GatewayNamespace string
	Connection       string       // name of the Connection object, in GatewayNamespace
	Addresses        []netip.Addr // of the laptop
	Gateway          []netip.Addr // of the gateway, for this laptop
	ClusterDomain    string
	// OpenPorts lets the gateway connect to these TCP ports on Addresses, and to no others, and returns when that is so.
	// It holds for later tunnels of the session, too.
	OpenPorts func(ctx context.Context, ports []uint16) error
	// Show puts intercepts into the Status.
	Show func([]Intercept)
}

// leaveTimeout bounds how long the end of a session waits for its intercepts to be left.
const leaveTimeout = 4 * time.Second

// inbound is what the gateway may connect to.
type inbound struct {
	mu    sync.Mutex
	ports []uint16
}

func (i *inbound) get() []uint16 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ports
}

func (i *inbound) set(ports []uint16) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ports = slices.Clone(ports)
}

// offer tells the hooks of the tunnel that has been built.
func (l *link) offer() {
	hooks := l.run.deps.Hooks
	if hooks == nil {
		return
	}
	l.offered, l.run.offered = true, true
	helper, session := l.helper, l.prepared.Session
	hooks.TunnelUp(Tunnel{
		Access: l.access, User: l.user, GatewayNamespace: l.namespace, Connection: l.name,
		Addresses: slices.Clone(l.tunnel.Addresses), Gateway: slices.Clone(l.tunnel.Peer.Addresses), ClusterDomain: l.answer.Domain,
		OpenPorts: func(ctx context.Context, ports []uint16) error {
			l.run.inbound.set(ports)
			ctx, cancel := context.WithTimeout(ctx, helperTimeout)
			defer cancel()
			ports = l.run.inbound.get()
			_, err := helper.Update(ctx, api.UpdateRequest{Session: session, InboundPorts: &ports})
			return ExplainHelper(err)
		},
		Show: l.run.board.showIntercepts,
	})
}

// retract tells the hooks that the tunnel goes, and at the end of the session lets them leave first.
func (l *link) retract() {
	if !l.offered {
		return
	}
	if l.run.ctx.Err() != nil {
		l.run.leave()
	}
	l.run.deps.Hooks.TunnelDown()
}

// leave lets the hooks leave the cluster, once, unless the Connection is another session's by now.
func (r *run) leave() {
	if !r.offered || r.left || r.announced == "" {
		return
	}
	r.left = true
	r.board.update(func(s *Status) {
		s.State = Disconnecting
		if len(s.Intercepts) > 0 {
			s.Step = "leaving intercepts"
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	r.deps.Hooks.Leave(ctx)
}

// forget tells the hooks that the session has ended.
func (r *run) forget() {
	if r.offered {
		r.deps.Hooks.Ended()
	}
}
