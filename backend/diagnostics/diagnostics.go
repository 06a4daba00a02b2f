// SPDX-License-Identifier: Apache-2.0

// Package diagnostics looks at everything that a connection needs, one named check each, and says what to do where
// something is wrong.
//
// It owns the checks and their order. It must not change anything: not the machine, not the cluster, not the session.
package diagnostics

import (
	"context"

	"github.com/fairlead-dev/fairlead/backend/session"
)

// Result is the outcome of a check.
type Result string

const (
	OK   Result = "ok"
	Warn Result = "warn" // works, but not as well as it could
	Fail Result = "fail" // stands in the way of a connection
	Skip Result = "skip" // could not be looked at; the message says why
)

// Check is one thing that was looked at. It is plain data.
type Check struct {
	Name    string `json:"name"`  // stable, such as "helper" or "gateway-version"
	Title   string `json:"title"` // for people, such as "Helper service"
	Status  Result `json:"status"`
	Message string `json:"message"`        // what was found
	Hint    string `json:"hint,omitempty"` // what to do about it
}

// Environment is what there is to look at.
type Environment struct {
	Version string          // of this program
	Options session.Options // which cluster, and as whom
	Status  session.Status  // of the session, if one runs; its zero value is none
	Helper  session.HelperDialer
}

// Run makes all checks, in parallel where they are independent, and returns them in a fixed order. It never fails:
// what can't be looked at is skipped with a reason. It ends early, with what it has, when ctx is done.
func Run(ctx context.Context, env Environment) []Check { return run(ctx, env) }
