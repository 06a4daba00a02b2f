// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// TestRulesChange changes the rules under open connections.
func TestRulesChange(t *testing.T) {
	for name, client := range map[string]*http.Client{"http1": {Transport: &http.Transport{MaxConnsPerHost: 1}}, "h2c": h2Client()} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
			suspended := keyed("ann")
			suspended.Suspended = true
			for i, c := range []struct {
				rules []wire.Rule
				want  string
			}{
				{nil, "app"}, {[]wire.Rule{keyed("ann")}, "laptop"}, {[]wire.Rule{suspended}, "app"}, {[]wire.Rule{keyed("ann")}, "laptop"},
				{[]wire.Rule{keyed("bob")}, "app"}, {[]wire.Rule{keyed("bob"), everything()}, "laptop"}, {[]wire.Rule{everything()}, "laptop"}, {nil, "app"},
			} {
				s.rules(c.rules...)
				if got := get(t, client, s.address, "ann"); got != c.want+" GET /a?b=c " {
					t.Fatalf("step %d: got %q, want %s", i, got, c.want)
				}
			}
			if _, _, open := s.proxy.Reports(); open != 1 {
				t.Errorf("%d connections are open", open)
			}
		})
	}
}

// TestBadRule leaves the others in force.
func TestBadRule(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	bad := "("
	err := s.proxy.SetPorts([]wire.PortOrder{{Port: testPort, Protocol: "TCP", Rules: []wire.Rule{
		{Intercept: "uid-bad", Match: &wire.Match{Path: &wire.ValueMatch{Regex: &bad}}}, keyed("ann")}}, {Port: 53, Protocol: "UDP"}}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "intercept uid-bad, port 8080: path:") {
		t.Errorf("got %v", err)
	}
	if got := get(t, http.DefaultClient, s.address, "ann"); got != "laptop GET /a?b=c " {
		t.Errorf("got %q", got)
	}
}

// TestSuspendedInFlight gives requests that wait for a laptop to the app when the laptop is away.
func TestSuspendedInFlight(t *testing.T) {
	for name, client := range map[string]*http.Client{"http1": {Transport: &http.Transport{}}, "h2c": h2Client()} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				<-r.Context().Done()
			})
			s := newStage(t, serveHTTP(named("app")), serveHTTP(silent))
			s.rules(keyed("ann"))
			got := make(chan string, 1)
			go func() { got <- get(t, client, s.address, "ann") }()
			<-asked
			suspended := keyed("ann")
			suspended.Suspended = true
			s.rules(suspended)
			if got := <-got; got != "app GET /a?b=c " {
				t.Errorf("got %q", got)
			}
			if r := s.report(); r.FallenBack != 1 || r.Matched != 0 {
				t.Errorf("counted %+v", r)
			}
		})
	}
}
