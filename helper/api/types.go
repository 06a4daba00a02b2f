// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Protocol is the version of this contract. Helper and caller must agree on it; Version reports it.
const Protocol = 1

// Verb names what a caller asks for.
type Verb string

const (
	VerbVersion Verb = "version" // VersionReply; the only verb that needs no session and no matching protocol
	VerbPrepare Verb = "prepare" // PrepareRequest -> PrepareReply: a new key pair, and the session that it is for
	VerbUp      Verb = "up"      // UpRequest -> Status: device, addresses, routes, DNS
	VerbUpdate  Verb = "update"  // UpdateRequest -> Status: any part that may change while up
	VerbDown    Verb = "down"    // DownRequest -> nothing: everything is put back; idempotent
	VerbStatus  Verb = "status"  // -> Status; without a session a Status with State StateIdle
	VerbWatch   Verb = "watch"   // WatchRequest -> a Status frame now, on each change, and at least every 500 ms
	VerbCarrier Verb = "carrier" // CarrierRequest -> an empty Reply, then raw relay bytes both ways
)

// Request is one call.
type Request struct {
	Verb Verb            `json:"verb"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Reply answers one Request. Exactly one of Body and Error is set, or neither for a reply without content.
type Reply struct {
	Body  json.RawMessage `json:"body,omitempty"`
	Error *Error          `json:"error,omitempty"`
}

// VersionReply says who answers.
type VersionReply struct {
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
}

// PrepareRequest opens a session. It replaces an earlier session of the same user, which is taken down first.
type PrepareRequest struct {
	Protocol      int    `json:"protocol"`
	ClientVersion string `json:"clientVersion,omitempty"`
}

// PrepareReply is what the caller needs to announce itself to the gateway and to plan the routes.
type PrepareReply struct {
	Session   string `json:"session"`   // names the session in every later call
	PublicKey string `json:"publicKey"` // WireGuard public key, base64; the private key stays in the helper
	// LocalRoutes are the routes of this machine outside the tunnel, default routes left out, for conflicts.
	LocalRoutes []LocalRoute `json:"localRoutes"`
}

// LocalRoute is a route that the machine has without Fairlead.
type LocalRoute struct {
	Prefix    netip.Prefix `json:"prefix"`
	Interface string       `json:"interface"`
	// Owner names the program that is known to make such interfaces, such as "Tailscale" or "Docker"; may be empty.
	Owner string `json:"owner,omitempty"`
}

// Peer is the gateway as WireGuard sees it.
type Peer struct {
	PublicKey string           `json:"publicKey"` // base64
	Addresses []netip.Addr     `json:"addresses"` // of the gateway inside the tunnel: at most one IPv4 and one IPv6
	UDP       []netip.AddrPort `json:"udp"`       // endpoints for the udp carrier, best first; may be empty
}

// CarrierName names a way for WireGuard datagrams.
type CarrierName string

const (
	CarrierNone  CarrierName = ""      // send nothing yet
	CarrierUDP   CarrierName = "udp"   // straight to an endpoint of the gateway
	CarrierRelay CarrierName = "relay" // over the byte stream handed over with VerbCarrier
)

// DNS says which names the machine asks the cluster for.
type DNS struct {
	ClusterDomain string   `json:"clusterDomain"` // such as cluster.local, without a final dot
	Namespace     string   `json:"namespace"`     // unqualified service names resolve there
	Namespaces    []string `json:"namespaces"`    // names that work as the last label of service.namespace
	// Domains are asked of the cluster's DNS as they are, with all below them, besides the cluster's own.
	Domains []string `json:"domains,omitempty"`
	// Exclude are resolved as without the tunnel, with all below them.
	Exclude []string `json:"exclude,omitempty"`
}

// Tunnel is everything that a session needs from the machine.
type Tunnel struct {
	Addresses []netip.Addr   `json:"addresses"` // of the laptop inside the tunnel: at most one IPv4 and one IPv6
	Peer      Peer           `json:"peer"`
	Routes    []netip.Prefix `json:"routes"` // what goes into the tunnel
	// Exempt are addresses that never go into the tunnel even where Routes cover them: the API server, its proxy.
	// The UDP endpoints of Peer are exempt without being named.
	Exempt []netip.Addr `json:"exempt"`
	DNS    *DNS         `json:"dns,omitempty"` // nil leaves name resolution alone
	// InboundPorts are the TCP ports on the laptop's tunnel addresses that the gateway may open connections to.
	InboundPorts []uint16 `json:"inboundPorts,omitempty"`
	// Carrier is the way to send by at the start.
	Carrier CarrierName `json:"carrier"`
}

// UpRequest builds the tunnel. It fails with CodeRouteConflict before anything is changed when a route overlaps one
// that the machine has.
type UpRequest struct {
	Session string `json:"session"`
	Tunnel  Tunnel `json:"tunnel"`
}

// UpdateRequest changes parts of a tunnel that is up; what is nil stays. Either all of it is applied, or none.
type UpdateRequest struct {
	Session      string          `json:"session"`
	Peer         *Peer           `json:"peer,omitempty"`
	Addresses    *[]netip.Addr   `json:"addresses,omitempty"`
	Routes       *[]netip.Prefix `json:"routes,omitempty"`
	Exempt       *[]netip.Addr   `json:"exempt,omitempty"`
	DNS          *DNS            `json:"dns,omitempty"`
	InboundPorts *[]uint16       `json:"inboundPorts,omitempty"`
	Carrier      *CarrierName    `json:"carrier,omitempty"`
}

// DownRequest ends a session.
type DownRequest struct {
	Session string `json:"session"`
}

// WatchRequest follows a session.
type WatchRequest struct {
	Session string `json:"session"`
}

// CarrierRequest hands the helper a byte stream to the gateway's relay port: this very connection, after the Reply.
// It replaces an earlier one. The caller has not written or read anything on the stream before: greetings included,
// all bytes are the helper's.
type CarrierRequest struct {
	Session string `json:"session"`
}

// State is where the helper's session stands.
type State string

const (
	StateIdle     State = "idle"     // no session
	StatePrepared State = "prepared" // a key exists, the machine is untouched
	StateUp       State = "up"       // device, routes and DNS are in place
)

// Status is what the helper knows, measured and not assumed. Durations are in milliseconds, sizes in bytes.
type Status struct {
	State     State         `json:"state"`
	Session   string        `json:"session,omitempty"`
	User      string        `json:"user,omitempty"` // operating-system user who owns the session
	Since     *time.Time    `json:"since,omitempty"`
	Device    string        `json:"device,omitempty"`
	MTU       int           `json:"mtu,omitempty"`     // inside the tunnel
	Carrier   CarrierName   `json:"carrier,omitempty"` // what datagrams are sent by now
	UDP       CarrierHealth `json:"udp"`
	Relay     CarrierHealth `json:"relay"`
	Handshake *time.Time    `json:"handshake,omitempty"` // WireGuard's last
	Received  uint64        `json:"received"`
	Sent      uint64        `json:"sent"`
	DNS       DNSStatus     `json:"dns"`
	// Notes are things that a user should know and can act on, such as a small socket buffer limit.
	Notes []string `json:"notes,omitempty"`
}

// CarrierHealth is what probes say of one carrier.
type CarrierHealth struct {
	Configured bool   `json:"configured"`         // an endpoint or a stream exists
	Endpoint   string `json:"endpoint,omitempty"` // the UDP endpoint that answers, or is tried
	Sent       uint64 `json:"sent"`               // probes sent since configured
	Answered   uint64 `json:"answered"`           // probes answered since configured
	// Unanswered is the number of probes in a row, up to now, that are overdue; 0 means the carrier lives.
	Unanswered int `json:"unanswered"`
	// LastAnswerAgo is the time since an answer, in milliseconds; -1 if there was none.
	LastAnswerAgo int64   `json:"lastAnswerAgoMs"`
	RTT           float64 `json:"rttMs"`   // smoothed, milliseconds; 0 if unknown
	PathMTU       int     `json:"pathMtu"` // largest IP packet known to pass both ways; 0 if unknown
	// Error is why the carrier can't send, when the system says so.
	Error string `json:"error,omitempty"`
}

// DNSStatus says how names are resolved and whether a test query came through.
type DNSStatus struct {
	Mode    string `json:"mode,omitempty"` // systemd-resolved, networkmanager, resolvconf, file, resolver-files, nrpt
	Healthy bool   `json:"healthy"`        // the system's own resolver reaches us: a test name came back
	Detail  string `json:"detail,omitempty"`
}
