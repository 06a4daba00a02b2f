// SPDX-License-Identifier: Apache-2.0

package api

import "net/netip"

// Code classifies an Error for programs.
type Code string

const (
	CodeBadRequest    Code = "bad_request"    // malformed, out of bounds, unknown verb or field
	CodeDenied        Code = "denied"         // the caller is not one of the users named at install
	CodeBusy          Code = "busy"           // another user owns the tunnel
	CodeNoSession     Code = "no_session"     // the session named is not the current one
	CodeReplaced      Code = "replaced"       // another program of the same user has prepared a session since
	CodeProtocol      Code = "protocol"       // helper and caller speak different versions
	CodeRouteConflict Code = "route_conflict" // Conflicts says which
	CodeRouteRefused  Code = "route_refused"  // a route that the helper never makes, such as a default route
	CodeDNS           Code = "dns"            // name resolution could not be set up
	CodeSystem        Code = "system"         // the operating system refused a step; everything was put back
)

// Error is how the helper refuses. It is safe to show to people.
type Error struct {
	Code      Code       `json:"code"`
	Message   string     `json:"message"`        // what happened, to what
	Hint      string     `json:"hint,omitempty"` // what to do next
	Conflicts []Conflict `json:"conflicts,omitempty"`
}

// Conflict is an overlap between a wanted route and one that the machine has.
type Conflict struct {
	Wanted   netip.Prefix `json:"wanted"`
	Existing LocalRoute   `json:"existing"`
}

// Error returns the message alone; the hint is for whoever shows it.
func (e *Error) Error() string { return e.Message }
