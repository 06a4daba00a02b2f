// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/carrier"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
)

func goodStatus() v1alpha1.ConnectionStatus {
	return v1alpha1.ConnectionStatus{
		Phase: v1alpha1.ConnectionReady, ObservedGeneration: 1,
		Addresses: []string{"198.19.0.3", "fd00::3"}, GatewayAddresses: []string{"198.19.0.2", "fd00::2"},
		GatewayPublicKey: "key", GatewayVersion: "0.1.0", ClusterDomain: "cluster.local", Namespaces: []string{"default", "shop"},
		Endpoints:     v1alpha1.Endpoints{UDP: []string{"192.0.2.1:31820"}, Relay: &v1alpha1.RelayEndpoint{Namespace: "fairlead", Pod: "gateway-1", Port: 8642}},
		ClusterRanges: []v1alpha1.ClusterRange{{Range: "10.96.0.0/16", Kind: v1alpha1.ServiceRange}, {Range: "10.244.0.0/16", Kind: v1alpha1.PodRange}},
	}
}

func TestReadAnswer(t *testing.T) {
	a, err := readAnswer(&v1alpha1.Connection{Status: goodStatus()})
	if err != nil {
		t.Fatal(err)
	}
	if a.Relay != (carrier.Target{Namespace: "fairlead", Pod: "gateway-1", Port: 8642}) || len(a.UDP) != 1 || len(a.Ranges) != 2 {
		t.Errorf("got %+v", a)
	}
	broken := map[string]func(*v1alpha1.ConnectionStatus){
		"no key":      func(s *v1alpha1.ConnectionStatus) { s.GatewayPublicKey = "" },
		"no address":  func(s *v1alpha1.ConnectionStatus) { s.Addresses = nil },
		"address":     func(s *v1alpha1.ConnectionStatus) { s.Addresses = []string{"198.19.0"} },
		"endpoint":    func(s *v1alpha1.ConnectionStatus) { s.Endpoints.UDP = []string{"192.0.2.1"} },
		"range":       func(s *v1alpha1.ConnectionStatus) { s.ClusterRanges[0].Range = "10.96.0.0" },
		"gateway":     func(s *v1alpha1.ConnectionStatus) { s.GatewayAddresses = []string{"gateway"} },
		"no gateway":  func(s *v1alpha1.ConnectionStatus) { s.GatewayAddresses = nil },
		"range bytes": func(s *v1alpha1.ConnectionStatus) { s.ClusterRanges[0].Range = "\x00/8" },
	}
	for name, breakIt := range broken {
		status := goodStatus()
		breakIt(&status)
		if _, err := readAnswer(&v1alpha1.Connection{Status: status}); !errors.Is(err, problem.New(problem.GatewayNotReady, "", "")) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDifference(t *testing.T) {
	a, err := readAnswer(&v1alpha1.Connection{Status: goodStatus()})
	if err != nil {
		t.Fatal(err)
	}
	before := tunnelFor(a, plan{Routes: a.Ranges}, nil, "shop", api.CarrierUDP)
	if _, changed := difference(before, before); changed {
		t.Error("nothing changed")
	}
	onRelay := before
	onRelay.Carrier = api.CarrierRelay
	if _, changed := difference(before, onRelay); changed {
		t.Error("the carrier is decided elsewhere")
	}
	tests := map[string]struct {
		change func(*api.Tunnel)
		want   func(api.UpdateRequest) bool // the part that must be there
	}{
		"key":        {func(t *api.Tunnel) { t.Peer.PublicKey = "other" }, func(u api.UpdateRequest) bool { return u.Peer != nil }},
		"endpoints":  {func(t *api.Tunnel) { t.Peer.UDP = nil }, func(u api.UpdateRequest) bool { return u.Peer != nil }},
		"addresses":  {func(t *api.Tunnel) { t.Addresses = t.Addresses[:1] }, func(u api.UpdateRequest) bool { return u.Addresses != nil }},
		"routes":     {func(t *api.Tunnel) { t.Routes = nil }, func(u api.UpdateRequest) bool { return u.Routes != nil }},
		"exempt":     {func(t *api.Tunnel) { t.Exempt = []netip.Addr{netip.MustParseAddr("192.0.2.1")} }, func(u api.UpdateRequest) bool { return u.Exempt != nil }},
		"namespaces": {func(t *api.Tunnel) { t.DNS = &api.DNS{Namespace: "shop"} }, func(u api.UpdateRequest) bool { return u.DNS != nil }},
	}
	for name, test := range tests {
		after := before
		test.change(&after)
		update, changed := difference(before, after)
		parts := 0
		for i := range reflect.TypeOf(update).NumField() {
			if field := reflect.ValueOf(update).Field(i); field.Kind() == reflect.Pointer && !field.IsNil() {
				parts++
			}
		}
		if !changed || parts != 1 || !test.want(update) {
			t.Errorf("%s: got %+v", name, update)
		}
	}
}

func TestGatewayVersion(t *testing.T) {
	for _, test := range []struct{ ours, gateways, want string }{
		{"0.1.0", "0.1.9", ""}, {"0.1.0-dev", "0.1.0", ""}, {"v1.2.3", "1.2.0", ""}, {"dev", "dev", ""},
		{"0.2.0", "0.1.9", "gateway is too old"}, {"1.0.0", "0.9.0", "gateway is too old"},
		{"0.1.0", "0.2.0", "Fairlead is too old"}, {"0.9.0", "1.0.0", "Fairlead is too old"},
		{"0.1.0", "", "not a release"}, {"0.1.0", "main", "not a release"},
	} {
		err := CheckGatewayVersion(test.ours, test.gateways)
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s and %s: got %v, want %q", test.ours, test.gateways, err, test.want)
		}
	}
	if err := CheckHelperVersion("0.2.0", "0.1.0"); !errors.Is(err, problem.New(problem.HelperVersion, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestExplainHelper(t *testing.T) {
	for code, want := range map[api.Code]problem.Code{
		api.CodeDenied: problem.HelperDenied, api.CodeBusy: problem.HelperBusy, api.CodeProtocol: problem.HelperVersion,
		api.CodeRouteConflict: problem.RouteConflict, api.CodeDNS: problem.DNS, api.CodeSystem: problem.HelperFailed, "new": problem.HelperFailed,
	} {
		p := problem.From(ExplainHelper(fmt.Errorf("call: %w", &api.Error{Code: code, Message: "words of the helper"})))
		if p.Code != want || !strings.Contains(p.Message, "words of the helper") {
			t.Errorf("%s: got %+v", code, p)
		}
	}
	p := problem.From(ExplainHelper(&api.Error{Code: api.CodeRouteConflict, Message: "m", Hint: "its own hint", Conflicts: []api.Conflict{{Wanted: netip.MustParsePrefix("10.96.0.0/16"), Existing: vpn}}}))
	if p.Hint != "its own hint" || !slices.Equal(p.Details, []string{"10.96.0.0/16 overlaps route 10.0.0.0/8 on interface tun0 (a VPN)"}) {
		t.Errorf("got %+v", p)
	}
	if p := problem.From(ExplainHelper(fmt.Errorf("%w: no socket", client.ErrUnavailable))); p.Code != problem.HelperMissing || !strings.Contains(p.Hint, "sudo fairlead helper install") {
		t.Errorf("got %+v", p)
	}
	if p := problem.From(ExplainHelper(context.Canceled)); p.Code != problem.Cancelled {
		t.Errorf("got %+v", p)
	}
}

func TestNewRequestRefusesNonsense(t *testing.T) {
	for name, o := range map[string]Options{
		"carrier": {Carrier: "pigeon"}, "include": {Include: []string{"10.0.0.0/99"}}, "exclude": {Exclude: []string{"shop"}},
		"default route": {Include: []string{"0.0.0.0/0"}}, "loopback": {Include: []string{"127.0.0.1"}}, "too many": {Exclude: make([]string, 65)},
	} {
		if _, err := newRequest(o); !errors.Is(err, problem.New(problem.Usage, "", "")) || problem.From(err).Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
