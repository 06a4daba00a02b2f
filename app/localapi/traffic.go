// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// Traffic is what the dialog of an intercept, the list of its requests and the doctor's bundle need. Its methods keep what
// Operations promise.
type Traffic interface {
	// InterceptPreview says what an intercept would do, and changes nothing.
	InterceptPreview(ctx context.Context, r InterceptRequest) (InterceptPreview, error)
	// Programs says what listens on this machine.
	Programs(ctx context.Context) (Programs, error)
	// WatchRecords sends the requests of an intercept, by its ID, or of all for the empty one: first those that are kept, then
	// what is new or has changed. It closes the channel when ctx is done.
	WatchRecords(ctx context.Context, intercept string) <-chan Records
	EnvironmentFile(ctx context.Context, r EnvironmentFileRequest) (EnvironmentFile, error)
	// Terminal returns once a terminal has been started.
	Terminal(ctx context.Context, r TerminalRequest) error
	// BundlePlan says what a Bundle would have in it.
	BundlePlan(ctx context.Context, t Target) (BundlePlan, error)
	Bundle(ctx context.Context, t Target) (Bundle, error)
}

// Bundle is a support bundle, for whoever is to help.
type Bundle struct {
	Name string // of the file
	Zip  []byte
}

// eventRecords is the name of the events of a watch of requests.
const eventRecords = "records"

// registerTraffic adds the calls of Traffic to the local API.
func registerTraffic(mux *http.ServeMux, b Traffic) {
	mux.Handle("POST /v1/intercept/preview", post(b.InterceptPreview))
	mux.Handle("GET /v1/programs", get(b.Programs))
	mux.HandleFunc("GET /v1/requests/watch", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("intercept")
		watch(eventRecords, func(ctx context.Context) <-chan Records { return b.WatchRecords(ctx, id) }).ServeHTTP(w, r)
	})
	mux.Handle("POST /v1/environment/file", post(b.EnvironmentFile))
	mux.Handle("POST /v1/terminal", post(func(ctx context.Context, r TerminalRequest) (struct{}, error) {
		return struct{}{}, b.Terminal(ctx, r)
	}))
	mux.Handle("POST /v1/bundle/plan", post(b.BundlePlan))
	mux.HandleFunc("POST /v1/bundle", func(w http.ResponseWriter, r *http.Request) {
		t, err := decode[Target](w, r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		bundle, err := b.Bundle(r.Context(), t)
		if err != nil {
			writeProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": bundle.Name}))
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(bundle.Zip)
	})
}

// WatchRecords calls each with the requests of all intercepts: first those that are kept, then what is new or has changed.
// It returns each's error, the context's once it is done, or nil when the daemon ends.
func (c *Client) WatchRecords(ctx context.Context, each func(Records) error) error {
	return follow(ctx, c, "/v1/requests/watch", eventRecords, each)
}

// BundlePlan says what a support bundle would have in it.
func (c *Client) BundlePlan(ctx context.Context, t Target) (BundlePlan, error) {
	return call[BundlePlan](ctx, c, http.MethodPost, "/v1/bundle/plan", t)
}

// Bundle makes a support bundle.
func (c *Client) Bundle(ctx context.Context, t Target) (Bundle, error) {
	body, err := c.do(ctx, http.MethodPost, "/v1/bundle", t)
	if err != nil {
		return Bundle{}, err
	}
	defer body.Close()
	zip, err := io.ReadAll(io.LimitReader(body, maxBundle+1))
	switch {
	case err != nil:
		return Bundle{}, interrupted(ctx, err)
	case len(zip) > maxBundle:
		return Bundle{}, undecodable(fmt.Errorf("the bundle has more than %d bytes", maxBundle))
	}
	return Bundle{Zip: zip}, nil
}

// maxBundle bounds a support bundle, in bytes.
const maxBundle = 64 << 20
