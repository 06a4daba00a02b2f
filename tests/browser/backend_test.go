// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"context"
	"net/netip"
	"sync"
	"time"

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
}

func newBackend() *backend {
	return &backend{status: localapi.Status{State: session.Disconnected}, changed: make(chan struct{})}
}

func (b *backend) show(s localapi.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = s
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
	status := connected(r)
	if r.Context == "weak" {
		status.State, status.Step = session.Reconnecting, "waiting for the network"
		status.Carrier = session.CarrierStatus{Mode: session.CarrierAuto, Reason: "nothing answers on either way"}
		status.DNS.Healthy, status.DNS.Detail = false, "the gateway does not answer"
		status.Problem = problem.New(problem.NoCarrier, "Check the network of this laptop.", "the gateway has not answered for 4 s")
	}
	b.show(status)
	return nil
}

func connected(r localapi.ConnectRequest) localapi.Status {
	since := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	return localapi.Status{
		State: session.Connected, Context: r.Context, Server: "https://" + r.Context + ".example:6443", User: "ada@example.com", Namespace: r.Namespace,
		Since:     &since,
		Carrier:   session.CarrierStatus{Mode: session.CarrierAuto, Active: "udp", Reason: "it answers, and is the faster way", RTT: 1.8, Endpoint: "192.0.2.7:51820"},
		Gateway:   session.GatewayStatus{Namespace: "fairlead", Pod: "fairlead-gateway-7d9f5c-x2x8v", Version: "0.1.0"},
		Addresses: []netip.Addr{netip.MustParseAddr("198.19.0.5"), netip.MustParseAddr("fd00:fa1e::5")},
		Routes:    []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:96::/108")},
		Mappings: []session.Mapping{{
			Range: netip.MustParsePrefix("172.17.0.0/16"), Mapped: netip.MustParsePrefix("198.18.0.0/16"), Because: "docker0 has 172.17.0.0/16",
		}},
		DNS:    session.DNSStatus{Mode: "systemd-resolved", Healthy: true, ClusterDomain: "cluster.local"},
		Device: "fairlead0", MTU: 1400, Received: 5 << 20, Sent: 71 << 10,
		Notes: []string{"the pods' range was observed, not reported by the cluster"},
	}
}

func (b *backend) Disconnect(context.Context) error {
	b.show(localapi.Status{State: session.Disconnected})
	return nil
}

func (b *backend) Close() { b.show(localapi.Status{State: session.Disconnected}) }
