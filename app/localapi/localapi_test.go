// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// fake is a Backend whose answers are set by the test. Methods that are not there are not called.
type fake struct {
	Backend
	calls Calls

	status  Status
	changes chan Status
	connect func(context.Context, ConnectRequest) error
	install func(context.Context, GatewayRequest, func(string)) (Gateway, error)

	intercept func(context.Context, InterceptRequest, func(string)) (Intercept, error)
	attend    func(context.Context, func(Intercept)) string
}

func (f *fake) Calls() *Calls    { return &f.calls }
func (f *fake) Version() Version { return Version{Version: "1.2.3"} }
func (f *fake) Status() Status   { return f.status }
func (f *fake) Connect(ctx context.Context, r ConnectRequest) error {
	return f.connect(ctx, r)
}
func (f *fake) Disconnect(context.Context) error { return nil }
func (f *fake) Workloads(context.Context, WorkloadsRequest) (Workloads, error) {
	panic("a defect")
}
func (f *fake) Contexts(context.Context, Target) (Contexts, error)     { return Contexts{}, nil }
func (f *fake) Namespaces(context.Context, Target) (Namespaces, error) { return Namespaces{}, nil }
func (f *fake) Doctor(context.Context, Target) (Report, error)         { return Report{}, nil }
func (f *fake) Leave(context.Context, LeaveRequest) (Left, error)      { return Left{}, nil }
func (f *fake) Intercept(ctx context.Context, r InterceptRequest, progress func(string)) (Intercept, error) {
	return f.intercept(ctx, r, progress)
}
func (f *fake) Attend(ctx context.Context, _ string, each func(Intercept)) string {
	return f.attend(ctx, each)
}
func (f *fake) Intercepts(context.Context, InterceptsRequest) (Intercepts, error) {
	return Intercepts{}, nil
}
func (f *fake) Environment(context.Context, EnvironmentRequest) (Environment, error) {
	return Environment{}, nil
}
func (f *fake) Helper(context.Context) (Helper, error)                 { return Helper{}, nil }
func (f *fake) GatewayStatus(context.Context, Target) (Gateway, error) { return Gateway{}, nil }
func (f *fake) Page(context.Context, PageRequest) (Page, error)        { return Page{}, nil }
func (f *fake) Quit(context.Context) error                             { return nil }
func (f *fake) GatewayInstall(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error) {
	return f.install(ctx, r, progress)
}
func (f *fake) GatewayUpgrade(context.Context, GatewayRequest, func(string)) (Gateway, error) {
	return Gateway{}, nil
}
func (f *fake) GatewayUninstall(context.Context, GatewayRequest, func(string)) (Gateway, error) {
	return Gateway{}, nil
}

func (f *fake) Watch(ctx context.Context) <-chan Status {
	out := make(chan Status)
	go func() {
		defer close(out)
		for {
			select {
			case s, ok := <-f.changes:
				if !ok {
					return
				}
				select {
				case out <- s:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// serve serves b on a socket as a daemon does, and returns a client of it.
func serve(t *testing.T, b Backend) *Client {
	t.Helper()
	socket := testSocket(t)
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: Handler(b, slog.New(slog.DiscardHandler)), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	client := NewClient(socket)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client
}

func TestConnectAnswersWithTheStatus(t *testing.T) {
	var got ConnectRequest
	f := &fake{status: Status{State: session.Connected, Context: "dev"}}
	f.connect = func(_ context.Context, r ConnectRequest) error { got = r; return nil }
	status, err := serve(t, f).Connect(t.Context(), ConnectRequest{Context: "dev", Include: []string{"10.0.0.0/8"}})
	if err != nil || status.State != session.Connected {
		t.Fatalf("got %+v, %v", status, err)
	}
	if got.Context != "dev" || len(got.Include) != 1 {
		t.Errorf("the backend got %+v", got)
	}
}

func TestProblemsArriveWhole(t *testing.T) {
	f := &fake{connect: func(context.Context, ConnectRequest) error {
		return &problem.Problem{Code: problem.Forbidden, Message: "no", Hint: "ask", Details: []string{"create pods"}}
	}}
	_, err := serve(t, f).Connect(t.Context(), ConnectRequest{})
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Code != problem.Forbidden || p.Message != "no" || p.Hint != "ask" || len(p.Details) != 1 {
		t.Fatalf("got %#v", err)
	}
}

func TestCancellingTheCallCancelsTheWork(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	f := &fake{connect: func(ctx context.Context, _ ConnectRequest) error {
		close(started)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}}
	client := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, err := client.Connect(ctx, ConnectRequest{})
	if !errors.Is(err, problem.New(problem.Cancelled, "", "")) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestACancelledConnectIsAnswered(t *testing.T) {
	started, putBack := make(chan struct{}), false
	f := &fake{connect: func(ctx context.Context, _ ConnectRequest) error {
		close(started)
		<-ctx.Done()
		putBack = true
		return problem.New(problem.Cancelled, "", "everything has been put back")
	}}
	client := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, err := client.Connect(ctx, ConnectRequest{})
	if err == nil || err.Error() != "everything has been put back" || !putBack {
		t.Errorf("got %v", err)
	}
}

func TestCallsThatAreNotUnderWayCannotBeCancelled(t *testing.T) {
	_, err := call[struct{}](t.Context(), serve(t, &fake{}), http.MethodPost, "/v1/cancel", CancelRequest{Call: "x"})
	if !errors.Is(err, problem.New(problem.NotFound, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestWatchFollowsChangesUntilTheDaemonEnds(t *testing.T) {
	f := &fake{changes: make(chan Status, 2)}
	f.changes <- Status{State: session.Connecting, Step: "looking"}
	f.changes <- Status{State: session.Connected}
	close(f.changes)
	var seen []session.State
	err := serve(t, f).Watch(t.Context(), func(s Status) error { seen = append(seen, s.State); return nil })
	if err != nil || len(seen) != 2 || seen[1] != session.Connected {
		t.Fatalf("got %v, %v", seen, err)
	}
}

func TestOperationsReportTheirSteps(t *testing.T) {
	f := &fake{install: func(_ context.Context, r GatewayRequest, progress func(string)) (Gateway, error) {
		progress("one")
		progress("two")
		if r.Force {
			return Gateway{}, problem.New(problem.GatewayInUse, "", "alice is connected")
		}
		return Gateway{Namespace: "fairlead", Installed: true}, nil
	}}
	client := serve(t, f)
	var steps []string
	gateway, err := client.GatewayInstall(t.Context(), GatewayRequest{}, func(step string) { steps = append(steps, step) })
	if err != nil || !gateway.Installed || strings.Join(steps, " ") != "one two" {
		t.Fatalf("got %+v, %v, %v", gateway, steps, err)
	}
	_, err = client.GatewayInstall(t.Context(), GatewayRequest{Force: true}, func(string) {})
	if !errors.Is(err, problem.New(problem.GatewayInUse, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestADefectInOneCallIsAnAnswer(t *testing.T) {
	_, err := serve(t, &fake{}).Workloads(t.Context(), WorkloadsRequest{})
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Code != problem.Internal || !strings.Contains(p.Message, "a defect") {
		t.Fatalf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	client := NewClient(filepath.Join(t.TempDir(), "nothing"))
	if _, err := client.Version(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("got %v", err)
	}
}

func TestHandlerRefusesWhatItDoesNotUnderstand(t *testing.T) {
	f := &fake{connect: func(context.Context, ConnectRequest) error { t.Error("the backend was called"); return nil }}
	handler := Handler(f, slog.New(slog.DiscardHandler))
	for name, test := range map[string]struct {
		method, path, media, body string
		status                    int
	}{
		"unknown field":  {"POST", "/v1/connect", "application/json", `{"contxt":"dev"}`, 400},
		"not JSON":       {"POST", "/v1/connect", "application/json", `context=dev`, 400},
		"two objects":    {"POST", "/v1/connect", "application/json", `{}{}`, 400},
		"wrong type":     {"POST", "/v1/connect", "text/plain", `{}`, 400},
		"no type":        {"POST", "/v1/connect", "", `{}`, 400},
		"too large":      {"POST", "/v1/connect", "application/json", `{"as":"` + strings.Repeat("x", maxBody) + `"}`, 400},
		"unknown path":   {"GET", "/v2/status", "", "", 404},
		"unknown method": {"GET", "/v1/connect", "", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.media)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), `"error"`) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestCompatible(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"1.2.3", "1.2.9", true}, {"v1.2.3", "1.2.0-dev", true}, {"1.2.3", "1.3.0", false}, {"1.2-beta", "1.2.0", true}, {"dev", "dev", true}, {"dev", "1.0.0", false},
	} {
		if got := Compatible(test.a, test.b); got != test.want {
			t.Errorf("Compatible(%q, %q) = %v", test.a, test.b, got)
		}
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add("event: status\ndata: {\"state\":\"connected\"}\n\n")
	f.Add(":\n\nevent: progress\r\ndata: {}\r\n\r\n")
	f.Add("data: a\ndata: b\n\n")
	f.Add("event: status\n\ndata")
	f.Fuzz(func(t *testing.T, stream string) {
		events := newEventReader(strings.NewReader(stream))
		for {
			e, err := events.next()
			if err != nil {
				return
			}
			if len(e.Data) > len(stream) {
				t.Fatalf("%d bytes of data from %d", len(e.Data), len(stream))
			}
		}
	})
}

func TestEventsSurviveTheWire(t *testing.T) {
	w := httptest.NewRecorder()
	writer := newEventWriter(w)
	for _, message := range []string{"one\ntwo", "", "€"} {
		if err := writer.send(eventProgress, Progress{Message: message}); err != nil {
			t.Fatal(err)
		}
	}
	writer.beat()
	writer.close()
	if err := writer.send(eventProgress, Progress{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after close: %v", err)
	}
	events := newEventReader(w.Body)
	for _, want := range []string{`{"message":"one\ntwo"}`, `{"message":""}`, `{"message":"€"}`} {
		e, err := events.next()
		if err != nil || e.Name != eventProgress || string(e.Data) != want {
			t.Errorf("got %q %q, %v; want %q", e.Name, e.Data, err, want)
		}
	}
	if _, err := events.next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
