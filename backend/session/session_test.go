// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

func TestConnectAndDisconnect(t *testing.T) {
	w := newWorld(t)
	w.helper.routes = []api.LocalRoute{lan}
	w.options.Exclude = []string{"10.244.128.0/17"}
	w.options.DNSDomains, w.options.DNSExclude = []string{"db.example.com"}, []string{"web.dev"}
	w.connect(t)
	s := w.manager.Status()
	if s.State != Connected || s.User != "jo" || s.Namespace != "shop" || s.Carrier.Active != "udp" || !s.DNS.Healthy || s.Since == nil || s.Gateway.Pod != "gateway-1" {
		t.Errorf("got %+v", s)
	}
	name := cluster.ConnectionName("jo", "laptop")
	if s.Connection != "fairlead/"+name || w.cluster.connection.Name != name {
		t.Errorf("got connection %s and %s, want %s", s.Connection, w.cluster.connection.Name, name)
	}
	spec := w.cluster.applied[0]
	if spec.User != "jo" || spec.PublicKey != "key-1" || spec.Namespace != "shop" || !slices.Equal(spec.UnavailableRanges, []string{"192.168.1.0/24"}) {
		t.Errorf("announced %+v", spec)
	}
	tunnel := w.helper.ups[0]
	if !slices.Equal(tunnel.Routes, prefixes("10.96.0.0/16", "10.244.0.0/17")) || tunnel.DNS.Namespace != "shop" || tunnel.Peer.PublicKey != "key" || tunnel.Carrier != api.CarrierUDP {
		t.Errorf("brought up %+v", tunnel)
	}
	if !slices.Equal(s.DNS.Domains, []string{"db.example.com"}) || !slices.Equal(tunnel.DNS.Domains, []string{"db.example.com"}) || !slices.Equal(tunnel.DNS.Exclude, []string{"web.dev"}) {
		t.Errorf("names are resolved by %+v", tunnel.DNS)
	}
	if err := w.manager.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.putBack(t)
	if w.cluster.deleted != 1 || w.helper.downs != 1 {
		t.Errorf("deleted %d, down %d, want 1 each", w.cluster.deleted, w.helper.downs)
	}
	if err := w.manager.Disconnect(t.Context()); err != nil {
		t.Errorf("without a session: %v", err)
	}
}

func TestConnectFailsClearlyAndPutsEverythingBack(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*world)
		want    problem.Code
		text    string // in message or details
		touched bool   // whether the helper was asked to change the machine
	}{
		{"no helper", func(w *world) { w.helper.absent = true }, problem.HelperMissing, "not running", false},
		{"helper denies", func(w *world) {
			w.helper.refuse[api.VerbPrepare] = &api.Error{Code: api.CodeDenied, Message: "not you"}
		}, problem.HelperDenied, "not you", false},
		{"helper busy", func(w *world) {
			w.helper.refuse[api.VerbPrepare] = &api.Error{Code: api.CodeBusy, Message: "eve is connected"}
		}, problem.HelperBusy, "eve", false},
		{"helper too old", func(w *world) { w.helper.refuse[api.VerbPrepare] = &api.Error{Code: api.CodeProtocol, Message: "old"} }, problem.HelperVersion, "old", false},
		{"helper fails", func(w *world) {
			w.helper.refuse[api.VerbUp] = &api.Error{Code: api.CodeSystem, Message: "no /dev/net/tun"}
		}, problem.HelperFailed, "/dev/net/tun", false},
		{"credentials expired", func(w *world) { w.cluster.broken = http.StatusUnauthorized }, problem.Unauthorized, "expired", false},
		{"cluster down", func(w *world) { w.cluster.server.Close() }, problem.ClusterUnreachable, "nothing listens", false},
		{"no right", func(w *world) { w.cluster.forbidden = true }, problem.Forbidden, "create pods/portforward in namespace fairlead", false},
		{"no gateway", func(w *world) { w.cluster.absent = true }, problem.GatewayMissing, "fairlead", false},
		{"no gateway and no right", func(w *world) { w.cluster.absent, w.cluster.forbidden = true, true }, problem.GatewayMissing, "fairlead", false},
		{"gateway silent", func(w *world) { w.cluster.silent, w.manager.patience.gateway = true, soon }, problem.GatewayNotReady, "pod gateway-1: Running, not ready", false},
		{"gateway's API without a gateway", func(w *world) {
			w.cluster.silent, w.cluster.pods, w.manager.patience.gateway = true, nil, soon
		}, problem.GatewayMissing, "no gateway runs", false},
		{"gateway refuses", func(w *world) {
			w.cluster.status.Phase, w.cluster.status.Message = v1alpha1.ConnectionRefused, "no address is free"
		}, problem.GatewayNotReady, "no address is free", false},
		{"gateway too old", func(w *world) { w.cluster.status.GatewayVersion = "0.0.9" }, problem.GatewayVersion, "too old", false},
		{"gateway talks nonsense", func(w *world) { w.cluster.status.Addresses = []string{"x"} }, problem.GatewayNotReady, "makes no sense", false},
		{"no such namespace", func(w *world) { w.options.Namespace = "nowhere" }, problem.NamespaceNotFound, "nowhere", false},
		{"route conflict", func(w *world) { w.helper.routes = []api.LocalRoute{vpn} }, problem.RouteConflict, "tun0", false},
		{"nothing answers", func(w *world) {
			w.manager.patience.answer = soon
			w.helper.probes = func(s *api.Status) { s.UDP.LastAnswerAgo, s.Relay.LastAnswerAgo = -1, -1 }
		}, problem.NoCarrier, "udp: 192.0.2.1:31820 does not answer", true},
		{"udp asked for, none there", func(w *world) {
			w.manager.patience.answer = soon
			w.options.Carrier = CarrierUDP
			w.cluster.status.Endpoints.UDP = nil
		}, problem.NoCarrier, "no UDP endpoint", true},
		{"no such context", func(w *world) { w.options.Context = "other" }, problem.ContextNotFound, "other", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.prepare(w)
			err := w.manager.Connect(t.Context(), w.options)
			p, ok := errors.AsType[*problem.Problem](err)
			if !ok || p.Code != test.want || !strings.Contains(p.Message+strings.Join(p.Details, "\n"), test.text) {
				t.Fatalf("got %#v", err)
			}
			if p.Hint == "" {
				t.Error("no hint")
			}
			if touched := len(w.helper.ups) > 0; touched != test.touched {
				t.Errorf("machine changed: %v, want %v", touched, test.touched)
			}
			w.putBack(t)
			if shown := w.manager.Status().Problem; test.want != problem.ContextNotFound && (shown == nil || shown.Code != test.want) {
				t.Errorf("status shows %+v", shown)
			}
		})
	}
}

func TestConflictIsMappedOnRequest(t *testing.T) {
	w := newWorld(t)
	w.helper.routes = []api.LocalRoute{local("10.96.5.0/24", "docker0", "Docker")}
	w.options.MapConflicts = true
	w.connect(t)
	want := []v1alpha1.RangeMapping{{Range: "10.96.0.0/16", Mapped: "10.255.0.0/16"}}
	if last := w.cluster.applied[len(w.cluster.applied)-1]; !slices.Equal(last.Mappings, want) {
		t.Errorf("told the gateway %+v", last.Mappings)
	}
	if !slices.Equal(w.helper.ups[0].Routes, prefixes("10.244.0.0/16", "10.255.0.0/16")) {
		t.Errorf("routes %v", w.helper.ups[0].Routes)
	}
	if s := w.manager.Status(); len(s.Mappings) != 1 || !strings.Contains(s.Mappings[0].Because, "docker0") {
		t.Errorf("got %+v", s.Mappings)
	}
}

func TestConnectTwice(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.connect(t)
	if w.helper.started != 1 {
		t.Errorf("%d sessions for the same options, want 1", w.helper.started)
	}
	w.options.Exclude = []string{"10.244.128.0/17"}
	w.cluster.set(func(c *fakeCluster) { c.pods[0] = readyPod() })
	w.connect(t)
	if s := w.manager.Status(); s.State != Connected || len(s.Routes) != 2 || w.helper.started != 2 || w.helper.downs != 1 {
		t.Errorf("got %s with routes %v after %d sessions, %d of them down", s.State, s.Routes, w.helper.started, w.helper.downs)
	}
}

func TestCancelPutsEverythingBack(t *testing.T) {
	w := newWorld(t)
	w.cluster.silent = true
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- w.manager.Connect(ctx, w.options) }()
	w.await(t, "announced", func(s Status) bool { return s.Step == "waiting for the gateway" })
	cancel()
	if err := <-result; !errors.Is(err, problem.New(problem.Cancelled, "", "")) {
		t.Errorf("got %v", err)
	}
	w.putBack(t)
}

func TestOneOfTwoWhoWaitMayGiveUp(t *testing.T) {
	w := newWorld(t)
	w.cluster.silent = true
	cancelled := problem.New(problem.Cancelled, "", "")
	first, giveUpFirst := context.WithCancel(t.Context())
	second, giveUpSecond := context.WithCancel(t.Context())
	results := make(chan error, 2)
	connect := func(ctx context.Context) { results <- w.manager.Connect(ctx, w.options) }
	go connect(first)
	w.await(t, "announced", func(s Status) bool { return s.Step == "waiting for the gateway" })
	go connect(second)
	for waiting := 0; waiting != 2; {
		w.manager.mu.Lock()
		waiting = w.manager.run.waiting
		w.manager.mu.Unlock()
	}
	giveUpFirst()
	if err := <-results; !errors.Is(err, cancelled) || !strings.Contains(err.Error(), "connecting goes on") {
		t.Errorf("got %v", err)
	}
	if s := w.manager.Status(); s.State != Connecting {
		t.Errorf("somebody still waits, but it is %s", s.State)
	}
	giveUpSecond()
	if err := <-results; !errors.Is(err, cancelled) || !strings.Contains(err.Error(), "everything has been put back") {
		t.Errorf("got %v", err)
	}
	w.putBack(t)
}

func TestDisconnectEndsAConnectUnderWay(t *testing.T) {
	w := newWorld(t)
	w.cluster.silent = true
	result := make(chan error, 1)
	go func() { result <- w.manager.Connect(t.Context(), w.options) }()
	w.await(t, "announced", func(s Status) bool { return s.Step == "waiting for the gateway" })
	if err := w.manager.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, problem.New(problem.Cancelled, "", "")) {
		t.Errorf("got %v", err)
	}
	w.putBack(t)
}

func TestWatchEndsWithTheManager(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	watch := w.manager.Watch(t.Context())
	<-watch
	w.manager.Close()
	for range watch { //nolint:revive // until it is closed
	}
	w.putBack(t)
	if err := w.manager.Connect(t.Context(), w.options); err == nil {
		t.Error("a closed Manager connects")
	}
}
