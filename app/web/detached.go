// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"net/http"
	"slices"
)

// lasting are calls that go on when the browser that made them goes away: a page that is reloaded must not undo what its
// user has begun. Every page shows them as work, and can cancel them.
var lasting = []string{
	"/v1/connect", "/v1/disconnect", "/v1/namespace", "/v1/intercept", "/v1/leave",
	"/v1/gateway/install", "/v1/gateway/upgrade", "/v1/gateway/uninstall",
}

// detached returns r for a call that may outlive the browser's interest, and not the daemon. end must be called when it is
// served.
func detached(r *http.Request, daemon context.Context, path string) (_ *http.Request, end func()) {
	if !slices.Contains(lasting, path) {
		return r, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(daemon, cancel)
	return r.WithContext(ctx), func() {
		stop()
		cancel()
	}
}
