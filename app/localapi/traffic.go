// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"net/http"
)

// Traffic is what the dialog of an intercept and the list of its requests need. Its methods keep what Operations promise.
type Traffic interface {
	// InterceptPreview says what an intercept would do, and changes nothing.
	InterceptPreview(ctx context.Context, r InterceptRequest) (InterceptPreview, error)
	// Programs says what listens on this machine.
	Programs(ctx context.Context) (Programs, error)
}

// registerTraffic adds the calls of Traffic to the local API.
func registerTraffic(mux *http.ServeMux, b Traffic) {
	mux.Handle("POST /v1/intercept/preview", post(b.InterceptPreview))
	mux.Handle("GET /v1/programs", get(b.Programs))
}

// InterceptPreview says what an intercept would do, before it does it.
func (c *Client) InterceptPreview(ctx context.Context, r InterceptRequest) (InterceptPreview, error) {
	return call[InterceptPreview](ctx, c, http.MethodPost, "/v1/intercept/preview", r)
}

// Programs says what listens on this machine.
func (c *Client) Programs(ctx context.Context) (Programs, error) {
	return call[Programs](ctx, c, http.MethodGet, "/v1/programs", nil)
}
