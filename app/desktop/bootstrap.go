// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// openTimeout bounds the start of a daemon and its answer.
const openTimeout = 30 * time.Second

// Open returns an address of the daemon's page; it starts the daemon if none runs.
type Open func(context.Context) (string, error)

// Bootstrap serves the first page of the window under every path. It goes on to the daemon's page, there to the place
// that the request's "at" names; where that fails it says why, and offers to try again.
func Bootstrap(open Open) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), openTimeout)
		defer cancel()
		page, err := open(ctx)
		if place := r.URL.Query().Get("at"); place != "" && err == nil {
			page += "&at=" + url.QueryEscape(place)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_ = bootstrapTemplate.Execute(w, struct {
			URL     string
			Problem *problem.Problem
		}{page, problem.From(err)})
	})
}

var bootstrapTemplate = template.Must(template.New("bootstrap").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
{{if not .Problem}}<meta http-equiv="refresh" content="0; url={{.URL}}">{{end}}
<title>Fairlead</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }</style>
</head>
<body>
{{with .Problem}}<h1>Fairlead did not start</h1>
<p role="alert">{{.Message}}</p>
{{with .Hint}}<p>What to do: {{.}}</p>{{end}}
<p><a href="/">Try again</a></p>
{{else}}<p>Opening Fairlead…</p>
{{end}}</body>
</html>
`))
