// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"time"
)

// Order is all that a sidecar is to do: each one replaces the one before. The gateway repeats the last one as its heartbeat,
// with Unchanged set and nothing else but the Revision.
type Order struct {
	Revision  uint64 `json:"revision"`
	Unchanged bool   `json:"unchanged,omitempty"`
	// Ports to redirect. Empty: put every redirect away, let go of open connections gently, and, unless KeepWaiting, end
	// after Linger. Connections that are still open then are given to nobody else: the sidecar stays until they end.
	Ports []PortOrder `json:"ports,omitempty"`
	// Linger is how long a sidecar without orders waits for new ones before it ends. Seconds.
	Linger int `json:"linger,omitempty"`
	// PodAddresses are the pod's own; NodeAddresses those of its node, from where the kubelet probes.
	PodAddresses  []netip.Addr `json:"podAddresses,omitempty"`
	NodeAddresses []netip.Addr `json:"nodeAddresses,omitempty"`
}

// PortOrder is what is to be done with one port of the pod.
type PortOrder struct {
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"` // TCP or UDP
	// Listen is the port at which the sidecar accepts callers itself where nothing is redirected by the kernel: the
	// unprivileged way. 0: the instant way.
	Listen uint16 `json:"listen,omitempty"`
	// Takeover of connections that were open before: Gentle, Force or None.
	Takeover string `json:"takeover,omitempty"`
	// Probes are those of the kubelet on this port.
	Probes []Probe `json:"probes,omitempty"`
	// HTTP says what the port speaks, where the Service or the Pod says it: "", "http", "h2c", "tls" or "other".
	Speaks string `json:"speaks,omitempty"`
	// Rules in order of precedence: the first that matches takes the connection or the request.
	Rules []Rule `json:"rules"`
}

// Probe is a kubelet's probe of a port.
type Probe struct {
	Kind string `json:"kind"` // http, https, tcp or grpc
	Path string `json:"path,omitempty"`
}

// Rule is one intercept's share of a port.
type Rule struct {
	Intercept string `json:"intercept"` // UID
	// Match is nil for all traffic of the port.
	Match *Match `json:"match,omitempty"`
	// Mirror sends a copy; the app answers.
	Mirror bool `json:"mirror,omitempty"`
	// Suspended: the laptop is away; the rule takes nothing meanwhile, and a port whose rules are all suspended is not
	// redirected at all.
	Suspended bool `json:"suspended,omitempty"`
}

// Match says which requests a rule takes: those for which every part holds. Of a header that occurs several times, one
// occurrence is enough.
type Match struct {
	// Key: the header "x-fairlead: KEY", or the member fairlead=KEY in a header baggage.
	Key     string        `json:"key,omitempty"`
	Headers []HeaderMatch `json:"headers,omitempty"`
	Path    *ValueMatch   `json:"path,omitempty"` // of the path as sent, without the query
}

// HeaderMatch is a condition on a request header; the name's case does not matter.
type HeaderMatch struct {
	Name string `json:"name"`
	ValueMatch
}

// ValueMatch holds for values that equal Exact, begin with Prefix, or as a whole match Regex (RE2). Exactly one is set.
type ValueMatch struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
	Regex  *string `json:"regex,omitempty"`
}

// Report is what a sidecar says about itself: after each Order, when something changes, and as its heartbeat. Counts are
// sums since the process began.
type Report struct {
	Revision uint64            `json:"revision"` // of the last Order that was carried out
	Ports    []PortReport      `json:"ports,omitempty"`
	Rules    []InterceptReport `json:"rules,omitempty"`
	// Open is how many connections of callers the sidecar holds.
	Open int `json:"open,omitempty"`
	// Requests are the latest that were decided on, oldest first; at most MaxRequests since the report before.
	Requests []Request `json:"requests,omitempty"`
}

// MaxRequests bounds the requests that one Report tells of.
const MaxRequests = 100

// PortReport says how a port is.
type PortReport struct {
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
	// Redirected: new connections of the port reach the sidecar.
	Redirected bool `json:"redirected"`
	// AppListens: the app has the port open. While it has not, nothing is redirected, so that callers and probes see what
	// they would see without Fairlead.
	AppListens bool `json:"appListens"`
	// Bypassing is how many connections that were open before still go to the app.
	Bypassing int `json:"bypassing,omitempty"`
	// Problem says why the port is not redirected, in a plain sentence.
	Problem string `json:"problem,omitempty"`
}

// InterceptReport says how one intercept does in this pod.
type InterceptReport struct {
	Intercept string `json:"intercept"`
	Port      uint16 `json:"port"`
	Protocol  string `json:"protocol"`
	// Probe is the answer to the last probe of the whole way, ProbedAt when that was. A sidecar probes after each Order that
	// changes the rule, then every few seconds.
	Probe    Answer    `json:"probe"`
	ProbedAt time.Time `json:"probedAt,omitzero"`
	// Counts of requests where they are told apart, else of connections or UDP flows.
	Matched    int64 `json:"matched,omitempty"`
	Passed     int64 `json:"passed,omitempty"`
	FallenBack int64 `json:"fallenBack,omitempty"`
	Unreadable int64 `json:"unreadable,omitempty"`
}

// Request is one request or connection that a rule took or lost. It carries no header and no query.
type Request struct {
	Intercept string        `json:"intercept"`
	At        time.Time     `json:"at"`
	Method    string        `json:"method,omitempty"`
	Path      string        `json:"path,omitempty"`
	Status    int           `json:"status,omitempty"`
	Duration  time.Duration `json:"duration,omitempty"`
	To        string        `json:"to"` // laptop, app or mirror
	Reason    string        `json:"reason,omitempty"`
}
