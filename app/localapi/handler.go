// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// maxBody bounds a request, in bytes. The environment of the caller is the largest part of one; Linux bounds it to a
// quarter of the stack limit, 2 MiB by default (execve(2)).
const maxBody = 4 << 20

// statusClientClosed is the HTTP status for a request whose caller went away (as nginx has it); nobody reads it.
const statusClientClosed = 499

// Handler serves the local API on a Backend. It authenticates nobody: whoever can reach it may do everything, so serve
// it only behind Listen or behind a check of your own. What goes wrong inside is written to log.
func Handler(b Backend, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	named := b.Calls()
	mux.Handle("GET /v1/version", get(func(context.Context) (Version, error) { return b.Version(), nil }))
	mux.Handle("GET /v1/status", get(func(context.Context) (Status, error) { return b.Status(), nil }))
	mux.Handle("GET /v1/status/watch", watch(eventStatus, b.Watch))
	mux.Handle("GET /v1/snapshot", get(func(context.Context) (Snapshot, error) { return signed(b, b.Snapshot()), nil }))
	mux.Handle("GET /v1/watch", watchSnapshots(b))
	mux.Handle("POST /v1/connect", named.cancellable(post(func(ctx context.Context, r ConnectRequest) (Status, error) {
		err := b.Connect(ctx, r)
		return b.Status(), err
	})))
	mux.Handle("POST /v1/cancel", post(named.Cancel))
	mux.Handle("POST /v1/disconnect", post(func(ctx context.Context, _ struct{}) (Status, error) {
		err := b.Disconnect(ctx)
		return b.Status(), err
	}))
	mux.Handle("POST /v1/namespace", post(func(ctx context.Context, r NamespaceRequest) (Status, error) {
		err := b.SwitchNamespace(ctx, r)
		return b.Status(), err
	}))
	mux.Handle("POST /v1/workloads", post(b.Workloads))
	mux.Handle("POST /v1/contexts", post(b.Contexts))
	mux.Handle("POST /v1/contexts/check", post(b.ContextState))
	mux.Handle("POST /v1/namespaces", post(b.Namespaces))
	mux.Handle("POST /v1/doctor", post(b.Doctor))
	mux.Handle("GET /v1/helper", get(b.Helper))
	mux.Handle("POST /v1/gateway/status", post(b.GatewayStatus))
	mux.Handle("POST /v1/gateway/plan", post(b.GatewayPlan))
	mux.Handle("POST /v1/gateway/install", named.cancellable(operation(b.GatewayInstall)))
	mux.Handle("POST /v1/gateway/upgrade", named.cancellable(operation(b.GatewayUpgrade)))
	mux.Handle("POST /v1/gateway/uninstall", named.cancellable(operation(b.GatewayUninstall)))
	mux.Handle("POST /v1/intercept", named.cancellable(serveIntercept(b)))
	mux.Handle("POST /v1/intercepts", post(b.Intercepts))
	mux.Handle("POST /v1/leave", post(b.Leave))
	mux.Handle("POST /v1/environment", post(b.Environment))
	registerTraffic(mux, b)
	mux.Handle("GET /v1/settings", get(func(context.Context) (Settings, error) { return b.Settings(), nil }))
	mux.Handle("POST /v1/settings", post(b.SaveSettings))
	mux.Handle("POST /v1/page", post(b.Page))
	mux.Handle("POST /v1/quit", post(func(ctx context.Context, _ struct{}) (struct{}, error) {
		return struct{}{}, b.Quit(ctx)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, problem.New(problem.NotFound, "Update Fairlead: the program that asked may be newer than the daemon.",
			"the local API has no %s %s", r.Method, r.URL.Path))
	})
	return recovered(mux, log)
}

// get serves a call without a body.
func get[Out any](call func(context.Context) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := call(r.Context())
		writeReply(w, out, err)
	})
}

// post serves a call with a body.
func post[In, Out any](call func(context.Context, In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := decode[In](w, r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		out, err := call(r.Context(), in)
		writeReply(w, out, err)
	})
}

// operation serves a long call that reports its steps as server-sent events.
func operation(call func(context.Context, GatewayRequest, func(string)) (Gateway, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := decode[GatewayRequest](w, r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		events := newEventWriter(w)
		defer events.close()
		out, err := call(r.Context(), in, func(message string) { _ = events.send(eventProgress, Progress{Message: message}) })
		if err != nil {
			_ = events.send(eventError, problem.From(err))
			return
		}
		_ = events.send(eventResult, out)
	})
}

// watch serves each of what values sends as a server-sent event.
func watch[T any](name string, values func(context.Context) <-chan T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events := newEventWriter(w)
		defer events.close()
		for value := range values(r.Context()) {
			if events.send(name, value) != nil {
				return
			}
		}
	})
}

// decode reads the body of r strictly: JSON, bounded, of known fields, and nothing after it. An empty body is the zero
// value.
func decode[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	var in T
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return in, problem.New(problem.Usage, "Send the header 'Content-Type: application/json'.",
			"%s needs a JSON body, and the request has type %q", r.URL.Path, r.Header.Get("Content-Type"))
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&in); {
	case errors.Is(err, io.EOF):
		return in, nil
	case err != nil:
		return in, problem.Wrap(err, problem.Usage, "See the package documentation of app/localapi for the fields.", "%s refuses the request", r.URL.Path)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return in, problem.New(problem.Usage, "Send one JSON object.", "%s refuses the request: there is more after the JSON object", r.URL.Path)
	}
	return in, nil
}

func writeReply(w http.ResponseWriter, out any, err error) {
	if err != nil {
		writeProblem(w, err)
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		writeProblem(w, fmt.Errorf("encode reply: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}

func writeProblem(w http.ResponseWriter, err error) {
	p := toProblem(err)
	body, err := json.Marshal(failure{Error: p})
	if err != nil {
		http.Error(w, p.Message, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(p.Code))
	_, _ = w.Write(append(body, '\n'))
}

// toProblem is problem.From, with an interruption by the caller recognised.
func toProblem(err error) *problem.Problem {
	if _, ok := errors.AsType[*problem.Problem](err); !ok && errors.Is(err, context.Canceled) {
		return problem.Wrap(err, problem.Cancelled, "", "cancelled")
	}
	return problem.From(err)
}

// httpStatus is the HTTP status that goes with a code, for browsers and for people who use curl.
func httpStatus(code problem.Code) int {
	switch code {
	case problem.Usage:
		return http.StatusBadRequest
	case problem.NotFound, problem.ContextNotFound, problem.NamespaceNotFound:
		return http.StatusNotFound
	case problem.Forbidden, problem.HelperDenied:
		return http.StatusForbidden
	case problem.NotConnected, problem.HelperBusy, problem.GatewayInUse, problem.RouteConflict, problem.InterceptRefused:
		return http.StatusConflict
	case problem.Timeout, problem.InterceptPending:
		return http.StatusGatewayTimeout
	case problem.Cancelled:
		return statusClientClosed
	case problem.Internal:
		return http.StatusInternalServerError
	default:
		return http.StatusBadGateway // something beyond the daemon is not as it should be
	}
}

// recovered turns a panic in one call into an internal problem; the daemon and its session go on.
func recovered(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if what := recover(); what != nil {
				log.Error("defect", "path", r.URL.Path, "what", what, "stack", string(debug.Stack()))
				writeProblem(w, problem.New(problem.Internal, "Report it, with the daemon's log, which 'fairlead version' names.",
					"the daemon met a defect in %s: %v", r.URL.Path, what))
			}
		}()
		next.ServeHTTP(w, r)
	})
}
