// SPDX-License-Identifier: Apache-2.0

package session

import (
	"net/netip"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// State is where the session stands. It says connected only while an answer from the gateway is fresh.
type State string

const (
	Disconnected  State = "disconnected"
	Connecting    State = "connecting"
	Connected     State = "connected"
	Reconnecting  State = "reconnecting" // was connected; nothing answers at the moment, and it is being worked on
	Disconnecting State = "disconnecting"
)

// CarrierMode is what the user asked for.
type CarrierMode string

const (
	CarrierAuto  CarrierMode = "auto"
	CarrierUDP   CarrierMode = "udp"
	CarrierRelay CarrierMode = "relay"
)

// Options is what a connection is made with. It is plain data: it comes over the local API.
type Options struct {
	Context     string      `json:"context,omitempty"`     // kubeconfig context; empty is the current one
	Namespace   string      `json:"namespace,omitempty"`   // empty is the context's, else default
	Kubeconfigs []string    `json:"kubeconfigs,omitempty"` // files in order of precedence; empty is kubectl's default
	As          string      `json:"as,omitempty"`          // impersonated user
	AsGroups    []string    `json:"asGroups,omitempty"`    // impersonated groups
	Carrier     CarrierMode `json:"carrier,omitempty"`     // empty is auto
	Include     []string    `json:"include,omitempty"`     // prefixes or addresses routed besides the cluster's
	Exclude     []string    `json:"exclude,omitempty"`     // prefixes or addresses left out
	DNSDomains  []string    `json:"dnsDomains,omitempty"`  // domains asked of the cluster's DNS besides its own
	DNSExclude  []string    `json:"dnsExclude,omitempty"`  // names resolved as without Fairlead, with all below them
	// MapConflicts reaches ranges that clash with a network of this machine under other addresses.
	MapConflicts bool `json:"mapConflicts,omitempty"`
	// GatewayNamespace is where the gateway is; empty is "fairlead".
	GatewayNamespace string `json:"gatewayNamespace,omitempty"`
	// Environment is the caller's environment, NAME=value, for exec credential plugins; empty is the daemon's own.
	Environment []string `json:"environment,omitempty"`
	// WorkingDirectory makes relative kubeconfig paths absolute; empty is the daemon's own.
	WorkingDirectory string `json:"workingDirectory,omitempty"`
}

// Status is all there is to know about the session. It is a value: safe to keep and to compare.
type Status struct {
	State State `json:"state"`
	// Step says in words what is going on while State is connecting, reconnecting or disconnecting.
	Step string `json:"step,omitempty"`
	// Problem is why the last attempt failed, or what is wrong now.
	Problem *problem.Problem `json:"problem,omitempty"`

	Context   string     `json:"context,omitempty"`
	Server    string     `json:"server,omitempty"` // API server URL
	User      string     `json:"user,omitempty"`   // Kubernetes user name
	Namespace string     `json:"namespace,omitempty"`
	Since     *time.Time `json:"since,omitempty"` // connected since

	Carrier    CarrierStatus  `json:"carrier"`
	Gateway    GatewayStatus  `json:"gateway"`
	Addresses  []netip.Addr   `json:"addresses,omitempty"` // of the laptop inside the tunnel
	Routes     []netip.Prefix `json:"routes,omitempty"`
	Mappings   []Mapping      `json:"mappings,omitempty"`
	DNS        DNSStatus      `json:"dns"`
	Device     string         `json:"device,omitempty"`
	MTU        int            `json:"mtu,omitempty"` // bytes, inside the tunnel
	Received   uint64         `json:"received"`      // bytes
	Sent       uint64         `json:"sent"`          // bytes
	Notes      []string       `json:"notes,omitempty"`
	Connection string         `json:"connection,omitempty"` // namespace/name of the Connection object
	Intercepts []Intercept    `json:"intercepts,omitempty"` // of this laptop
}

// CarrierStatus says how datagrams travel.
type CarrierStatus struct {
	Mode   CarrierMode `json:"mode,omitempty"`
	Active string      `json:"active,omitempty"` // udp or relay; empty while neither works
	Reason string      `json:"reason,omitempty"` // why this one, in words
	RTT    float64     `json:"rttMs,omitempty"`  // milliseconds to the gateway and back
	// LastAnswer is when the gateway last answered a probe.
	LastAnswer *time.Time `json:"lastAnswer,omitempty"`
	Endpoint   string     `json:"endpoint,omitempty"`
}

// GatewayStatus says who answers in the cluster.
type GatewayStatus struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Version   string `json:"version,omitempty"`
}

// Mapping is a cluster range that the laptop reaches under other addresses.
type Mapping struct {
	Range  netip.Prefix `json:"range"`
	Mapped netip.Prefix `json:"mapped"`
	// Because names the route of this machine that the range clashes with.
	Because string `json:"because"`
}

// DNSStatus says how names resolve.
type DNSStatus struct {
	Mode          string `json:"mode,omitempty"`
	Healthy       bool   `json:"healthy"`
	Detail        string `json:"detail,omitempty"`
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// Domains are those that the user has named besides.
	Domains []string `json:"domains,omitempty"`
}
