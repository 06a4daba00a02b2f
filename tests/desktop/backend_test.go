// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// backend stands for a cluster. What is not here answers with nothing.
type backend struct {
	localapi.Operations

	mu       sync.Mutex
	snapshot localapi.Snapshot
	changed  chan struct{}
	calls    []string
	watchers int
}

func newBackend() *backend {
	return &backend{snapshot: localapi.Snapshot{
		Session: localapi.Status{State: session.Disconnected}, Helper: localapi.Helper{Running: true, Compatible: true, Version: version},
		Everyone: []localapi.Intercept{}, Work: []localapi.Work{}, Problems: []localapi.Trouble{}, Activity: []localapi.Event{},
	}, changed: make(chan struct{})}
}

// change changes the snapshot, and notes a call.
func (b *backend) change(call string, f func(*localapi.Snapshot)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if call != "" {
		b.calls = append(b.calls, call)
	}
	f(&b.snapshot)
	b.snapshot.Revision++
	close(b.changed)
	b.changed = make(chan struct{})
}

// note notes a call that changes nothing.
func (b *backend) note(call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
}

// tell adds an event.
func (b *backend) tell(e localapi.Event) {
	b.change("", func(s *localapi.Snapshot) {
		e.ID, e.Time, e.Notify = 1, time.Now(), true
		if len(s.Activity) > 0 {
			e.ID = s.Activity[0].ID + 1
		}
		s.Activity = append([]localapi.Event{e}, s.Activity...)
	})
}

// called waits for a call.
func (b *backend) called(t *testing.T, call string) {
	t.Helper()
	eventually(t, call, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.Contains(b.calls, call) {
			return fmt.Errorf("the calls were %q", b.calls)
		}
		return nil
	})
}

// watched waits until so many watch: the tray is one, the page another.
func (b *backend) watched(t *testing.T, by int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d watchers", by), func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.watchers != by {
			return fmt.Errorf("there are %d", b.watchers)
		}
		return nil
	})
}

func (b *backend) Snapshot() localapi.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.snapshot
}

func (b *backend) Status() localapi.Status { return b.Snapshot().Session }

func (b *backend) Settings() localapi.Settings { return b.Snapshot().Settings }

func (b *backend) WatchSnapshots(ctx context.Context) <-chan localapi.Snapshot {
	out := make(chan localapi.Snapshot)
	b.count(1)
	go func() {
		defer close(out)
		defer b.count(-1)
		for {
			b.mu.Lock()
			snapshot, changed := b.snapshot, b.changed
			b.mu.Unlock()
			select {
			case out <- snapshot:
			case <-ctx.Done():
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (b *backend) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers += n
}

func (b *backend) Contexts(context.Context, localapi.Target) (localapi.Contexts, error) {
	return localapi.Contexts{Current: "dev", Contexts: []localapi.Context{
		{Name: "dev", Cluster: "dev", Server: "https://dev.example:6443", User: "ada", Current: true},
		{Name: "staging", Cluster: "staging", Server: "https://staging.example:6443", User: "ada"},
	}}, nil
}

func (b *backend) ContextState(_ context.Context, t localapi.Target) (localapi.ContextState, error) {
	b.note("check " + t.Context)
	return localapi.ContextState{Context: t.Context, Reachable: true, Millis: 12, Version: "v1.34.1", Gateway: "ready", GatewayBy: version}, nil
}

func (b *backend) Workloads(context.Context, localapi.WorkloadsRequest) (localapi.Workloads, error) {
	return localapi.Workloads{Context: "dev", Namespace: "shop", Workloads: []localapi.Workload{}}, nil
}

func (b *backend) Namespaces(context.Context, localapi.Target) (localapi.Namespaces, error) {
	return localapi.Namespaces{Namespaces: []string{"default", "shop"}}, nil
}

func (b *backend) Programs(context.Context) (localapi.Programs, error) {
	return localapi.Programs{Programs: []localapi.Program{}}, nil
}

// InterceptPreview is what the dialog of an intercept asks for.
func (b *backend) InterceptPreview(_ context.Context, r localapi.InterceptRequest) (localapi.InterceptPreview, error) {
	b.note(fmt.Sprintf("preview %s/%s", r.Namespace, r.Workload))
	return localapi.InterceptPreview{
		Workload: localapi.InterceptedWorkload{Namespace: "shop", Kind: "Deployment", Name: "pricing", Pods: 2, Ports: []localapi.WorkloadPort{{Name: "http", Port: 8080, Protocol: "TCP", Service: "pricing:80"}}},
		Header:   "x-fairlead: ada", Key: "ada", Touches: []string{"Requests with the header come to this laptop."}, Warnings: []string{},
	}, nil
}

func (b *backend) Connect(_ context.Context, r localapi.ConnectRequest) error {
	since := time.Now()
	b.change("connect "+r.Context, func(s *localapi.Snapshot) {
		s.Session = localapi.Status{
			State: session.Connected, Context: r.Context, Namespace: "shop", User: "ada@example.com", Since: &since,
			Carrier: session.CarrierStatus{Mode: session.CarrierAuto, Active: "udp", Reason: "it answers, and is the faster way", RTT: 1.8},
			Gateway: session.GatewayStatus{Namespace: "fairlead", Version: version}, DNS: session.DNSStatus{Healthy: true, Mode: "systemd-resolved"}, MTU: 1400, Device: "fairlead0",
		}
	})
	b.tell(localapi.Event{Kind: activity.Connection, Level: activity.Good, Name: activity.Connected, Text: "Connected to " + r.Context + " <by udp>."})
	return nil
}

// intercept makes this laptop intercept a workload.
func (b *backend) intercept() {
	b.change("", func(s *localapi.Snapshot) {
		s.Session.Intercepts = []localapi.Intercept{{
			Name: "pricing-ada", Namespace: "shop", ID: "1", Mine: true, User: "ada@example.com", Phase: "Active", Workload: session.InterceptWorkload{Kind: "Deployment", Name: "pricing"},
			Ports: []session.InterceptedPort{{Port: 8080, Protocol: "TCP", Local: "127.0.0.1:3000", Listening: true}}, Header: "x-fairlead: ada", Key: "ada", PodsReady: 2, PodsCovered: 2,
			Curl: "curl -H 'x-fairlead: ada' http://pricing.shop:8080/",
		}}
		s.Everyone = s.Session.Intercepts
	})
}

func (b *backend) Leave(_ context.Context, r localapi.LeaveRequest) (localapi.Left, error) {
	b.change(fmt.Sprintf("leave %s/%v", r.Namespace, r.Names), func(s *localapi.Snapshot) { s.Session.Intercepts, s.Everyone = nil, []localapi.Intercept{} })
	return localapi.Left{Left: []localapi.LeftIntercept{}}, nil
}

func (b *backend) Disconnect(context.Context) error {
	b.change("disconnect", func(s *localapi.Snapshot) { s.Session = localapi.Status{State: session.Disconnected} })
	return nil
}

func (b *backend) Close() {}

// startDaemon runs a daemon with a backend; end ends it.
func startDaemon(t *testing.T, version string) (b *backend, end func()) {
	t.Helper()
	b = newBackend()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- daemon.Run(ctx, daemon.Config{
			Version: version, Socket: here.socket(), Log: slog.New(slog.DiscardHandler),
			Operations: func() (daemon.Operations, error) { return b, nil }, Ready: func() { close(ready) },
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal("the daemon ended at once:", err)
	}
	over := false
	end = func() {
		cancel()
		if !over {
			over = true
			if err := <-ended; err != nil {
				t.Error("the daemon ended with:", err)
			}
		}
	}
	t.Cleanup(end)
	return b, end
}
