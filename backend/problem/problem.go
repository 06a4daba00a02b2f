// SPDX-License-Identifier: Apache-2.0

// Package problem is how anything that goes wrong reaches people: a code that programs and exit statuses go by, a
// sentence that says what happened to what, and a hint that says what to do next.
//
// It owns the codes. It must not import any other package of Fairlead.
package problem

import (
	"errors"
	"fmt"
)

// Code classifies a Problem. Codes are stable: scripts rely on them and on their exit statuses.
type Code string

const (
	Internal           Code = "internal"            // a defect of Fairlead
	Usage              Code = "usage"               // wrong flags or arguments
	NotConnected       Code = "not_connected"       // the command needs a connection
	Timeout            Code = "timeout"             // something took longer than it ever should
	Cancelled          Code = "cancelled"           // the user interrupted
	DaemonVersion      Code = "daemon_version"      // the running daemon is of another version
	HelperMissing      Code = "helper_missing"      // the helper is not installed or not running
	HelperDenied       Code = "helper_denied"       // the helper does not serve this user
	HelperBusy         Code = "helper_busy"         // another user of this machine is connected
	HelperVersion      Code = "helper_version"      // helper and Fairlead are of different versions
	HelperFailed       Code = "helper_failed"       // the operating system refused a step
	Kubeconfig         Code = "kubeconfig"          // no or an unreadable kubeconfig
	ContextNotFound    Code = "context_not_found"   // the kubeconfig has no such context
	ClusterUnreachable Code = "cluster_unreachable" // the API server does not answer
	Unauthorized       Code = "unauthorized"        // credentials missing, wrong or expired
	Forbidden          Code = "forbidden"           // a right is missing
	NamespaceNotFound  Code = "namespace_not_found" // the cluster has no such namespace
	GatewayMissing     Code = "gateway_missing"     // the gateway is not installed in the cluster
	GatewayNotReady    Code = "gateway_not_ready"   // it is installed but does not answer
	GatewayVersion     Code = "gateway_version"     // gateway and Fairlead are of different versions
	GatewayInUse       Code = "gateway_in_use"      // people are connected to it
	RouteConflict      Code = "route_conflict"      // a cluster range overlaps a network of this machine
	NoCarrier          Code = "no_carrier"          // no way for datagrams to the gateway works
	DNS                Code = "dns"                 // names could not be set up
	NotFound           Code = "not_found"           // the thing named does not exist
	InterceptRefused   Code = "intercept_refused"   // the gateway says that it can't be
	InterceptPending   Code = "intercept_pending"   // it did not become active in time
)

// exitStatus maps every code to the exit status of the CLI. 1 and 2 are what shells and cobra use by custom; 130 is
// 128 + SIGINT.
var exitStatus = map[Code]int{
	Internal: 1, Usage: 2, NotConnected: 3, Timeout: 4, NotFound: 5, DaemonVersion: 6,
	HelperMissing: 10, HelperDenied: 11, HelperBusy: 12, HelperVersion: 13, HelperFailed: 14,
	Kubeconfig: 20, ContextNotFound: 21, ClusterUnreachable: 22, Unauthorized: 23, Forbidden: 24, NamespaceNotFound: 25,
	GatewayMissing: 30, GatewayNotReady: 31, GatewayVersion: 32, GatewayInUse: 33,
	RouteConflict: 40, NoCarrier: 41, DNS: 42,
	InterceptRefused: 50, InterceptPending: 51,
	Cancelled: 130,
}

// Problem is an error with a code and a hint. It travels over the local API as it is; the cause does not.
type Problem struct {
	Code    Code     `json:"code"`
	Message string   `json:"message"`           // what happened, to what; one or two sentences
	Hint    string   `json:"hint,omitempty"`    // what to do next
	Details []string `json:"details,omitempty"` // a line each, such as the rights that are missing

	cause error
}

// New makes a Problem.
func New(code Code, hint, format string, args ...any) *Problem {
	return &Problem{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Wrap makes a Problem whose message ends with what cause says.
func Wrap(cause error, code Code, hint, format string, args ...any) *Problem {
	return &Problem{Code: code, Message: fmt.Sprintf(format, args...) + ": " + cause.Error(), Hint: hint, cause: cause}
}

// From returns the Problem inside err, or err as an Internal one. It returns nil for nil.
func From(err error) *Problem {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Code: Internal, Message: err.Error(), Hint: "Run 'fairlead doctor' and report the output if it finds nothing.", cause: err}
}

// Error returns the message without the hint.
func (p *Problem) Error() string { return p.Message }

// Unwrap returns the cause, if any.
func (p *Problem) Unwrap() error { return p.cause }

// Is reports whether target is a Problem of the same code, so that errors.Is works with New(code, "", "").
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && t.Code == p.Code
}

// ExitStatus returns the exit status of the CLI for the problem; 1 for a code that is not known.
func (p *Problem) ExitStatus() int {
	if status, ok := exitStatus[p.Code]; ok {
		return status
	}
	return 1
}
