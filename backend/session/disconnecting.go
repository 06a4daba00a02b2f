// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// deleteTimeout bounds how long disconnecting waits for the cluster. The gateway forgets a laptop that stays silent, so
// an unreachable cluster need not hold anybody up; it is told later.
const deleteTimeout = 2 * time.Second

// disconnecting takes the Connection out of the cluster. The tunnel is down already: link.close has done that.
func (r *run) disconnecting() {
	r.leave()
	r.forget()
	end := Status{State: Disconnected}
	if r.announced != "" {
		r.board.update(func(s *Status) { s.State, s.Step = Disconnecting, "telling the gateway" })
		ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
		defer cancel()
		err := r.takeOut(ctx)
		if err != nil {
			r.log.Info("connection left in the cluster for now", "name", r.announced, "error", err)
			if !r.takenOver && r.farewells.owe(r.request.access, r.request.gatewayNamespace, r.announced, r.patience.farewell) {
				end.Notes = []string{OwedNote}
			}
		}
	}
	if r.err != nil {
		end.Problem = problem.From(r.err)
		end.Context, end.Server = r.request.access.Context(), r.request.access.Server()
	}
	if r.err == nil && !isClosed(r.connected) {
		r.err = problem.New(problem.Cancelled, "", "connecting was interrupted; everything has been put back")
	}
	r.board.show(end)
}

// takeOut deletes the Connection, unless it is another session's by now.
func (r *run) takeOut(ctx context.Context) error {
	access, namespace := r.request.access, r.request.gatewayNamespace
	if r.takenOver {
		return access.DeleteConnectionOf(ctx, namespace, r.announced, r.key)
	}
	return access.DeleteConnection(ctx, namespace, r.announced)
}
