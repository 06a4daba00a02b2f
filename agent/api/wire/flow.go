// SPDX-License-Identifier: Apache-2.0

package wire

import "net/netip"

// Purpose says what a sidecar's connection is for.
type Purpose string

const (
	PurposeControl Purpose = "control"
	PurposeFlow    Purpose = "flow"
)

// Hello is the first message of every connection that a sidecar opens. The gateway answers with a Welcome. The connection's
// source address must be the pod's.
type Hello struct {
	Version int     `json:"version"` // of this contract
	Purpose Purpose `json:"purpose"`
	Program string  `json:"program,omitempty"` // version of the sidecar's program, for people
	// PodUID and Container say which sidecar it is; a pod can have had several. PodUID is empty where the sidecar was born
	// with its pod and does not know it yet: then the token says it.
	PodUID    string `json:"podUID,omitempty"`
	Container string `json:"container"`
	// Exactly one of the two proves it. Credential is for containers that were added to a running pod, where Kubernetes
	// offers no projected token: the gateway made it for this pod and container. Token is a projected service account token
	// with the audience Audience.
	Credential string `json:"credential,omitempty"`
	Token      string `json:"token,omitempty"`
}

// Audience is what the projected tokens of sidecars are made for.
const Audience = "fairlead-gateway"

// Welcome answers a Hello. With an Error the connection is closed after it.
type Welcome struct {
	PodUID string `json:"podUID,omitempty"`
	Error  string `json:"error,omitempty"`
	// Final tells the sidecar that trying again is of no use, such as for a wrong credential or another contract version:
	// it puts its redirects away and ends.
	Final bool `json:"final,omitempty"`
}

// Open asks for a flow to the laptop of an intercept.
type Open struct {
	// Intercept is the UID of the Intercept object. The gateway checks that it is active for the sidecar's pod and Port.
	Intercept string `json:"intercept"`
	Port      uint16 `json:"port"`     // of the pod
	Protocol  string `json:"protocol"` // TCP or UDP
	// Client is who called, Target what address of the pod was called. Both may be invalid for a Probe.
	Client netip.AddrPort `json:"client,omitzero"`
	Target netip.AddrPort `json:"target,omitzero"`
	Pod    string         `json:"pod,omitempty"` // name, for people; the gateway fills it in
	// Kind of bytes that follow.
	Kind FlowKind `json:"kind"`
	// Method and Path, without its query, are of the request that the flow is opened for, where there is one: so that the
	// owner can be told which one went to the app instead. They may be shortened, and mean nothing for the flow itself.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
}

// MaxOpenPath bounds the Path of an Open, in bytes.
const MaxOpenPath = 300

// ForRequest returns o with the request's line as far as it can be told: what is not plain text is left out.
func (o Open) ForRequest(method, path string) Open {
	path = path[:min(len(path), MaxOpenPath)]
	if plain(maxName, "method", method) == nil && plain(MaxOpenPath, "path", path) == nil {
		o.Method, o.Path = method, path
	}
	return o
}

// FlowKind says what the bytes of a flow are.
type FlowKind string

const (
	// FlowRaw: what the caller sent, unchanged; for UDP datagrams behind their lengths.
	FlowRaw FlowKind = "raw"
	// FlowHTTP: requests that were chosen one by one; the connection may carry several, also of different callers.
	FlowHTTP FlowKind = "http"
	// FlowMirror: a copy. What the laptop answers is thrown away.
	FlowMirror FlowKind = "mirror"
	// FlowProbe: no bytes follow the Answer. The laptop says whether it would take a flow, without disturbing the program.
	FlowProbe FlowKind = "probe"
)

// Answer says whether a flow is taken. Reasons other than Accepted send the flow to the app.
type Answer struct {
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"` // a plain sentence
	// Local is where on the laptop the flow goes, such as 127.0.0.1:3000.
	Local string `json:"local,omitempty"`
}

// Result of an Open.
type Result string

const (
	Accepted Result = "accepted"
	// NobodyListens: the laptop is there, its program is not. A Probe with this answer has gone the whole way all the same.
	NobodyListens Result = "nobody-listens"
	// LaptopAway: the laptop did not answer in time.
	LaptopAway Result = "laptop-away"
	// NotIntercepted: there is no such intercept, or not for this pod and port.
	NotIntercepted Result = "not-intercepted"
	// Overloaded: too many flows are open.
	Overloaded Result = "overloaded"
)
