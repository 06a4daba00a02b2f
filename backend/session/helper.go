// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
)

// HelperDialer reaches the privileged helper of this machine.
type HelperDialer interface {
	// Dial opens the control connection. Where no helper answers, the error is client.ErrUnavailable.
	Dial(ctx context.Context) (Helper, error)
}

// Helper is one control connection to the helper; *client.Client is one. The session that Prepare opens lives as long
// as this connection. Refusals are *api.Error. Methods are safe for concurrent use.
type Helper interface {
	Version(ctx context.Context) (api.VersionReply, error)
	Prepare(ctx context.Context, request api.PrepareRequest) (api.PrepareReply, error)
	Up(ctx context.Context, request api.UpRequest) (api.Status, error)
	Update(ctx context.Context, request api.UpdateRequest) (api.Status, error)
	Down(ctx context.Context, session string) error
	Status(ctx context.Context) (api.Status, error)
	// Watch calls yield now, on each change and at least every 500 ms, until it returns false, ctx is done, the session
	// ends or the helper goes away. The error is nil only if yield returned false.
	Watch(ctx context.Context, session string, yield func(api.Status) bool) error
	// Carrier returns a connection whose bytes are those of the relay.
	Carrier(ctx context.Context, session string) (net.Conn, error)
	Close() error
}

// SystemHelper is the helper of this machine.
func SystemHelper() HelperDialer { return systemHelper{} }

type systemHelper struct{}

func (systemHelper) Dial(ctx context.Context) (Helper, error) {
	c, err := client.Dial(ctx, "")
	if err != nil {
		return nil, err
	}
	return c, nil
}

// errHelperLost says that the helper has ended or dropped the session.
var errHelperLost = errors.New("the helper has gone away")

// ExplainHelper turns what the helper, or the way to it, says into a problem that people understand.
func ExplainHelper(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	if refusal, ok := errors.AsType[*api.Error](err); ok {
		return explainRefusal(refusal)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return problem.Wrap(err, problem.Cancelled, "", "the connection was interrupted")
	case errors.Is(err, context.DeadlineExceeded):
		return problem.Wrap(err, problem.HelperFailed, "Restart the helper's service; its log says what it waits for.", "the helper did not answer in time")
	case errors.Is(err, client.ErrUnavailable):
		p := problem.Wrap(err, problem.HelperMissing, "Install it once with: sudo fairlead helper install. If it is installed, restart its service.", "")
		p.Message, p.Details = "the helper, which sets up network devices and names, is not running on this machine", []string{err.Error()}
		return p
	}
	return problem.Wrap(err, problem.HelperMissing, "See: fairlead helper status.", "the helper can't be reached")
}

// helperCodes says which problem each of the helper's codes is, and what to do where the helper does not say.
var helperCodes = map[api.Code]struct {
	code problem.Code
	hint string
}{
	api.CodeBadRequest:    {problem.Internal, "Fairlead and its helper may be of different versions. Update the helper: sudo fairlead helper install."},
	api.CodeDenied:        {problem.HelperDenied, "An administrator of this machine allows you with: sudo fairlead helper install --user NAME."},
	api.CodeBusy:          {problem.HelperBusy, "Only one user of a machine can be connected. Ask them to run: fairlead disconnect."},
	api.CodeReplaced:      {problem.NotConnected, "Disconnect the other one first."},
	api.CodeNoSession:     {problem.HelperFailed, "Connect again."},
	api.CodeProtocol:      {problem.HelperVersion, "Update the helper to the version of fairlead: sudo fairlead helper install."},
	api.CodeRouteConflict: {problem.RouteConflict, routeConflictHint},
	api.CodeRouteRefused:  {problem.HelperFailed, "Leave the route out with --exclude, or correct --include."},
	api.CodeDNS:           {problem.DNS, "See: fairlead doctor."},
	api.CodeSystem:        {problem.HelperFailed, "See: fairlead doctor."},
}

func explainRefusal(refusal *api.Error) *problem.Problem {
	known, ok := helperCodes[refusal.Code]
	if !ok {
		known.code = problem.HelperFailed
	}
	if refusal.Hint != "" {
		known.hint = refusal.Hint
	}
	p := problem.Wrap(refusal, known.code, known.hint, "the helper refused")
	for _, c := range refusal.Conflicts {
		p.Details = append(p.Details, fmt.Sprintf("%s overlaps %s", c.Wanted, describeRoute(c.Existing)))
	}
	return p
}
