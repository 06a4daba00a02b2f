// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/frontend"
)

// policy is the Content-Security-Policy of the daemon's own server (app/web), so that what it forbids fails here, too.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// fake is a daemon that shows what a script asks it to show: POST /fake/scene?name=NAME. Files of this package add scenes
// and calls with extend, so that screens can be tested one by one.
type fake struct {
	mux *http.ServeMux

	mu       sync.Mutex
	snapshot localapi.Snapshot
	changed  chan struct{}
	contexts []localapi.Context
	absent   string                        // gone or unknown: nothing, or 401, is answered
	running  map[string]context.CancelFunc // calls that can be cancelled
	scenes   map[string]func(*fake)        // they hold the lock
	refuse   map[string]*problem.Problem   // by path of a call
	hold     chan struct{}                 // work with steps waits for its end before the last one
}

// extensions add scenes and calls to a fake.
var extensions []func(*fake)

func extend(with func(*fake)) struct{} {
	extensions = append(extensions, with)
	return struct{}{}
}

func newFake() *fake {
	f := &fake{mux: http.NewServeMux(), changed: make(chan struct{}), running: map[string]context.CancelFunc{}, scenes: map[string]func(*fake){}}
	for _, with := range extensions {
		with(f)
	}
	f.reset()
	f.mux.HandleFunc("GET /v1/watch", f.watch)
	f.mux.HandleFunc("POST /fake/scene", f.scene)
	// Pages name a key to come back; this daemon knows none of them later.
	f.mux.HandleFunc("POST /return", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	f.mux.Handle("/", http.FileServerFS(frontend.Files()))
	return f
}

// serve runs a fake until the end of the test, and returns its address.
func (f *fake) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Cache-Control", "no-store")
		f.mu.Lock()
		absent, refused := f.absent, f.refuse[r.URL.Path]
		f.mu.Unlock()
		switch {
		case len(r.URL.Path) < 4 || r.URL.Path[:4] != "/v1/":
			f.mux.ServeHTTP(w, r)
		case absent == "gone":
			panic(http.ErrAbortHandler)
		case absent == "unknown":
			http.Error(w, "This browser is not known.", http.StatusUnauthorized)
		case refused != nil:
			answer(w, nil, refused)
		default:
			f.mux.ServeHTTP(w, r)
		}
	}))
	server.Config.ErrorLog = nil
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL + "/"
}

// reset makes it a daemon that has just started. The lock is held.
func (f *fake) reset() {
	f.absent = ""
	f.refuse = map[string]*problem.Problem{}
	f.release()
	f.contexts = contexts()
	started := f.snapshot.Daemon.Started
	if started.IsZero() {
		started = time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	}
	f.snapshot = localapi.Snapshot{
		Revision: f.snapshot.Revision,
		Daemon:   localapi.DaemonInfo{Version: "0.1.0", Started: started, Log: "/home/ada/.local/state/fairlead/daemon.log"},
		Session:  localapi.Status{State: "disconnected"},
		Helper:   localapi.Helper{Running: true, Version: "0.1.0", Compatible: true, State: "idle"},
	}
}

// release lets work that is held go on. The lock is held.
func (f *fake) release() {
	if f.hold != nil {
		close(f.hold)
		f.hold = nil
	}
}

// held waits as long as work is held.
func (f *fake) held(ctx context.Context) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold == nil {
		return
	}
	select {
	case <-hold:
	case <-ctx.Done():
	}
}

// change changes what is shown.
func (f *fake) change(how func(*localapi.Snapshot)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(&f.snapshot)
	f.tell()
}

// tell wakes whoever watches. The lock is held.
func (f *fake) tell() {
	f.snapshot.Revision++
	close(f.changed)
	f.changed = make(chan struct{})
}

// scene shows one of the scenes, from a fresh start.
func (f *fake) scene(w http.ResponseWriter, r *http.Request) {
	scene, ok := f.scenes[r.URL.Query().Get("name")]
	if !ok {
		names := make([]string, 0, len(f.scenes))
		for name := range f.scenes {
			names = append(names, name)
		}
		slices.Sort(names)
		http.Error(w, fmt.Sprintf("no such scene; there are %v", names), http.StatusNotFound)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.URL.Query().Has("keep") {
		f.reset()
	}
	scene(f)
	f.tell()
}

func (f *fake) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		f.mu.Lock()
		data, err := json.Marshal(f.snapshot)
		changed, absent := f.changed, f.absent
		f.mu.Unlock()
		if err != nil || absent != "" {
			panic(http.ErrAbortHandler)
		}
		if event(w, "snapshot", data) != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func event(w http.ResponseWriter, name string, data []byte) error {
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// handle answers a call, with the same strictness as the real daemon.
func handle[In, Out any](f *fake, path string, call func(context.Context, In) (Out, error)) {
	f.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		in, err := decode[In](r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		ctx, end := f.begin(r)
		defer end()
		out, err := call(ctx, in)
		answer(w, out, err)
	})
}

// handleSteps answers a call that says how it goes on.
func handleSteps[In, Out any](f *fake, path string, call func(context.Context, In, func(string)) (Out, error)) {
	f.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		in, err := decode[In](r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(name string, v any) {
			data, _ := json.Marshal(v)
			_ = event(w, name, data)
		}
		ctx, end := f.begin(r)
		defer end()
		out, err := call(ctx, in, func(message string) { send("progress", localapi.Progress{Message: message}) })
		if err != nil {
			send("error", problem.From(err))
			return
		}
		send("result", out)
	})
}

// begin lets a call with a name be cancelled.
func (f *fake) begin(r *http.Request) (context.Context, func()) {
	ctx, cancel := context.WithCancel(r.Context())
	name := r.Header.Get("Fairlead-Call")
	f.mu.Lock()
	defer f.mu.Unlock()
	if name != "" {
		f.running[name] = cancel
	}
	return ctx, func() {
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.running, name)
	}
}

func decode[In any](r *http.Request) (In, error) {
	var in In
	if r.Method == http.MethodGet {
		return in, nil
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		return in, problem.New(problem.Usage, "", "%s refuses the request: %v", r.URL.Path, err)
	}
	return in, nil
}

func answer(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		out = map[string]any{"error": problem.From(err)}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// wait lets time pass, as work does, unless the call is cancelled.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return problem.New(problem.Cancelled, "", "connecting was interrupted")
	}
}
