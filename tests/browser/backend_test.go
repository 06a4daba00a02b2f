// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// backend does what the name of the context says. Methods that are not there are not called.
type backend struct {
	localapi.Operations

	mu      sync.Mutex
	status  localapi.Status
	changed chan struct{}

	revision atomic.Uint64
}

func newBackend() *backend {
	return &backend{status: localapi.Status{State: session.Disconnected}, changed: make(chan struct{})}
}

func (b *backend) show(s localapi.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = s
	b.revision.Add(1)
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *backend) now() (localapi.Status, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status, b.changed
}

func (b *backend) Status() localapi.Status {
	status, _ := b.now()
	return status
}

func (b *backend) Watch(ctx context.Context) <-chan localapi.Status {
	out := make(chan localapi.Status)
	go func() {
		defer close(out)
		for {
			status, changed := b.now()
			select {
			case out <- status:
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

func (b *backend) Snapshot() localapi.Snapshot {
	status, revision := b.Status(), b.revision.Load()
	return localapi.Snapshot{Revision: revision, Session: status, Helper: localapi.Helper{Running: true, Compatible: true, Version: "1.2.3"}}
}

func (b *backend) WatchSnapshots(ctx context.Context) <-chan localapi.Snapshot {
	out := make(chan localapi.Snapshot)
	go func() {
		defer close(out)
		for range b.Watch(ctx) {
			select {
			case out <- b.Snapshot():
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (b *backend) ContextState(_ context.Context, t localapi.Target) (localapi.ContextState, error) {
	return localapi.ContextState{Context: t.Context, Reachable: true, Millis: 12, Gateway: "ready", GatewayBy: "1.2.3"}, nil
}

func (b *backend) Settings() localapi.Settings { return localapi.Settings{} }

func (b *backend) Contexts(context.Context, localapi.Target) (localapi.Contexts, error) {
	of := func(name string) localapi.Context {
		return localapi.Context{Name: name, Cluster: name, Server: "https://" + name + ".example:6443", User: "ada"}
	}
	all := localapi.Contexts{Current: "dev", Contexts: []localapi.Context{of("broken"), of("dev"), of("slow"), of("weak")}}
	all.Contexts[1].Current = true
	return all, nil
}

func (b *backend) Namespaces(context.Context, localapi.Target) (localapi.Namespaces, error) {
	return localapi.Namespaces{Namespaces: []string{"default", "shop"}}, nil
}

func (b *backend) Connect(ctx context.Context, r localapi.ConnectRequest) error {
	switch r.Context {
	case "slow":
		b.show(localapi.Status{State: session.Connecting, Context: r.Context, Step: "waiting for the gateway"})
		<-ctx.Done()
		b.show(localapi.Status{State: session.Disconnected})
		return problem.New(problem.Cancelled, "", "connecting was interrupted")
	case "broken":
		p := problem.New(problem.GatewayMissing, "Run: fairlead gateway install", "the cluster of context %q has no gateway", r.Context)
		b.show(localapi.Status{State: session.Disconnected, Context: r.Context, Problem: p})
		return p
	}
	status := connected(r.Context, cmp.Or(r.Namespace, "shop"))
	if r.Context == "weak" {
		status.State, status.Step = session.Reconnecting, "waiting for the network"
		status.Carrier = session.CarrierStatus{Mode: session.CarrierAuto, Reason: "nothing answers on either way"}
		status.DNS.Healthy, status.DNS.Detail = false, "the gateway does not answer"
		status.Problem = problem.New(problem.NoCarrier, "Check the network of this laptop.", "the gateway has not answered for 4 s")
	}
	b.show(status)
	return nil
}

func (b *backend) Disconnect(context.Context) error {
	b.show(localapi.Status{State: session.Disconnected})
	return nil
}

func (b *backend) Close() { b.show(localapi.Status{State: session.Disconnected}) }
