// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/backend/settings"
)

// fake is a backend whose answers come from a file, named by the environment variable FAKE. Methods that are not there
// are not called.
type fake struct {
	localapi.Operations
	answers fakeAnswers

	mu      sync.Mutex
	status  localapi.Status
	changed chan struct{}
	closed  bool
	watched int // how often it has been, so far

	left chan struct{} // closed and replaced by Leave

	settings *settings.Store
}

// fakeAnswers is the content of the file.
type fakeAnswers struct {
	// Steps are shown one after the other before Connect ends; Connect hangs after them if Hang is set.
	Steps      []string            `json:"steps"`
	Hang       bool                `json:"hang"`
	Connected  localapi.Status     `json:"connected"`
	Left       []string            `json:"left"`    // notes of Disconnect
	Problem    *problem.Problem    `json:"problem"` // of Connect, Workloads and the gateway's operations
	Workloads  localapi.Workloads  `json:"workloads"`
	Contexts   localapi.Contexts   `json:"contexts"`
	Namespaces localapi.Namespaces `json:"namespaces"`
	Report     localapi.Report     `json:"report"`
	Helper     localapi.Helper     `json:"helper"`
	Gateway    localapi.Gateway    `json:"gateway"`

	Intercept   localapi.Intercept   `json:"intercept"`
	Refused     *problem.Problem     `json:"refused"` // of Intercept
	Intercepts  localapi.Intercepts  `json:"intercepts"`
	Leaving     localapi.Left        `json:"leaving"`
	Environment localapi.Environment `json:"environment"`

	Snapshot localapi.Snapshot `json:"snapshot"`

	Records []localapi.Records  `json:"records"` // one after the other
	Bundle  localapi.BundlePlan `json:"bundle"`
}

func newFake(*slog.Logger) (daemon.Operations, error) {
	f := &fake{status: localapi.Status{State: session.Disconnected}, changed: make(chan struct{}), left: make(chan struct{})}
	file, err := settings.DefaultFile()
	if err != nil {
		return nil, err
	}
	f.settings = settings.NewStore(file)
	path := os.Getenv("FAKE")
	if path == "" {
		return f, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return f, json.Unmarshal(data, &f.answers)
}

var noting sync.Mutex

// note writes what was asked for into a file, named by the environment variable ASKED and the kind of request.
func note(request any, kind string) {
	noting.Lock()
	defer noting.Unlock()
	if path := os.Getenv("ASKED"); path != "" {
		path += kind
		data, err := json.Marshal(request)
		if err != nil {
			panic(err)
		}
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			panic(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			panic(err)
		}
	}
}

func (f *fake) show(s localapi.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = s
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) Status() localapi.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// noteWatched leaves a file "watched-N" for the script when one more watches.
func (f *fake) noteWatched() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watched++
	if path := os.Getenv("ASKED"); path != "" {
		_ = os.WriteFile(filepath.Join(filepath.Dir(path), fmt.Sprintf("watched-%d", f.watched)), nil, 0o600)
	}
}

func (f *fake) Watch(ctx context.Context) <-chan localapi.Status {
	out := make(chan localapi.Status)
	var begun sync.Once
	go func() {
		defer close(out)
		for {
			f.mu.Lock()
			status, changed, closed := f.status, f.changed, f.closed
			f.mu.Unlock()
			if closed {
				return
			}
			select {
			case out <- status:
			case <-ctx.Done():
				return
			}
			begun.Do(f.noteWatched)
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (f *fake) Connect(ctx context.Context, r localapi.ConnectRequest) error {
	connecting := localapi.Status{State: session.Connecting, Context: f.answers.Connected.Context}
	f.show(connecting)
	for _, step := range f.answers.Steps {
		connecting.Step = step
		f.show(connecting)
	}
	hasFolder := r.WorkingDirectory != "" && len(r.Environment) > 0
	r.Environment, r.WorkingDirectory = nil, ""
	note(struct {
		localapi.ConnectRequest
		HasShell bool `json:"hasShell"`
	}{r, hasFolder}, "")
	if f.answers.Hang {
		<-ctx.Done()
		f.show(localapi.Status{State: session.Disconnecting, Step: "putting things back"})
		f.show(localapi.Status{State: session.Disconnected})
		return problem.New(problem.Cancelled, "", "connecting was interrupted")
	}
	if f.answers.Problem != nil {
		f.show(localapi.Status{State: session.Disconnected, Problem: f.answers.Problem})
		return f.answers.Problem
	}
	f.show(f.answers.Connected)
	return nil
}

func (f *fake) Disconnect(context.Context) error {
	f.show(localapi.Status{State: session.Disconnected, Notes: f.answers.Left})
	return nil
}

func (f *fake) Workloads(_ context.Context, r localapi.WorkloadsRequest) (localapi.Workloads, error) {
	r.Environment, r.WorkingDirectory = nil, ""
	note(r, ".workloads")
	return f.answers.Workloads, f.failure()
}

func (f *fake) failure() error {
	if f.answers.Problem != nil {
		return f.answers.Problem
	}
	return nil
}

func (f *fake) Contexts(context.Context, localapi.Target) (localapi.Contexts, error) {
	return f.answers.Contexts, nil
}

func (f *fake) Namespaces(_ context.Context, t localapi.Target) (localapi.Namespaces, error) {
	if t.Context == "nowhere" {
		return localapi.Namespaces{}, problem.New(problem.ContextNotFound, "", "no such context")
	}
	return f.answers.Namespaces, nil
}

func (f *fake) Doctor(context.Context, localapi.Target) (localapi.Report, error) {
	return f.answers.Report, nil
}

func (f *fake) Helper(context.Context) (localapi.Helper, error) { return f.answers.Helper, nil }

func (f *fake) GatewayStatus(context.Context, localapi.Target) (localapi.Gateway, error) {
	return f.answers.Gateway, f.failure()
}

func (f *fake) GatewayInstall(_ context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	r.Environment, r.WorkingDirectory = nil, ""
	note(r, "")
	for _, step := range f.answers.Steps {
		progress(step)
	}
	return f.answers.Gateway, f.failure()
}

func (f *fake) GatewayUpgrade(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return f.GatewayInstall(ctx, r, progress)
}

func (f *fake) GatewayUninstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	if r.Force {
		f.answers.Problem = nil
	}
	return f.GatewayInstall(ctx, r, progress)
}

func (f *fake) Close() {
	f.show(localapi.Status{State: session.Disconnected})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) Intercept(ctx context.Context, r localapi.InterceptRequest, progress func(string)) (localapi.Intercept, error) {
	note(r, "")
	for _, step := range f.answers.Steps {
		progress(step)
	}
	if f.answers.Hang {
		<-ctx.Done()
		return localapi.Intercept{}, problem.New(problem.Cancelled, "", "the intercept was interrupted; it has been left again")
	}
	if f.answers.Refused != nil {
		return localapi.Intercept{}, f.answers.Refused
	}
	made := f.answers.Intercept
	made.Attached = r.Attached
	return made, f.failure()
}

// Attend holds until ctx is done or Leave is called.
func (f *fake) Attend(ctx context.Context, _ string, _ func(localapi.Intercept)) string {
	f.mu.Lock()
	left := f.left
	f.mu.Unlock()
	select {
	case <-left:
		return "it was left"
	case <-ctx.Done():
		note("left, because its program has gone", ".gone")
		return "its program has gone"
	}
}

func (f *fake) Intercepts(_ context.Context, r localapi.InterceptsRequest) (localapi.Intercepts, error) {
	r.Environment, r.WorkingDirectory = nil, ""
	note(r, "")
	return f.answers.Intercepts, f.failure()
}

func (f *fake) Leave(_ context.Context, r localapi.LeaveRequest) (localapi.Left, error) {
	r.Environment, r.WorkingDirectory = nil, ""
	note(r, "")
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.left)
	f.left = make(chan struct{})
	return f.answers.Leaving, f.failure()
}

func (f *fake) Environment(_ context.Context, r localapi.EnvironmentRequest) (localapi.Environment, error) {
	found := f.answers.Environment
	if !r.Secrets {
		found.Variables = slices.Clone(found.Variables)
		for i := range found.Variables {
			if found.Variables[i].Secret {
				found.Variables[i].Value = ""
			}
		}
	}
	return found, f.failure()
}

func (f *fake) Snapshot() localapi.Snapshot { return f.answers.Snapshot }

// WatchSnapshots sends the snapshot, then one with an event more.
func (f *fake) WatchSnapshots(ctx context.Context) <-chan localapi.Snapshot {
	out := make(chan localapi.Snapshot)
	go func() {
		defer close(out)
		later := f.answers.Snapshot
		newest := later.Activity[0]
		newest.ID, newest.Text = newest.ID+1, "And then something else."
		later.Activity = append([]localapi.Event{newest}, later.Activity...)
		for _, s := range []localapi.Snapshot{f.answers.Snapshot, later} {
			select {
			case out <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// WatchRecords sends what there is, then ends as a daemon does that quits.
func (f *fake) WatchRecords(ctx context.Context, _ string) <-chan localapi.Records {
	out := make(chan localapi.Records)
	go func() {
		defer close(out)
		for _, batch := range f.answers.Records {
			select {
			case out <- batch:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

func (f *fake) BundlePlan(context.Context, localapi.Target) (localapi.BundlePlan, error) {
	return f.answers.Bundle, f.failure()
}

func (f *fake) Bundle(context.Context, localapi.Target) (localapi.Bundle, error) {
	return localapi.Bundle{Name: f.answers.Bundle.Name, Zip: []byte("a zip file")}, f.failure()
}

func (f *fake) Settings() localapi.Settings {
	now, _ := f.settings.Get()
	return now
}

func (f *fake) SaveSettings(_ context.Context, s localapi.Settings) (localapi.Settings, error) {
	err := f.settings.Save(s)
	return f.Settings(), err
}
