// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

var since = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func connected(changes ...func(*session.Status)) session.Status {
	s := session.Status{
		State: session.Connected, Context: "dev", Namespace: "shop", Since: &since,
		Carrier: session.CarrierStatus{Active: "udp"}, DNS: session.DNSStatus{Healthy: true},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func in(state session.State, p *problem.Problem) func(*session.Status) {
	return func(s *session.Status) { s.State, s.Problem = state, p }
}

func with(intercepts ...session.Intercept) func(*session.Status) {
	return func(s *session.Status) { s.Intercepts = intercepts }
}

func intercept(phase string, changes ...func(*session.Intercept)) session.Intercept {
	i := session.Intercept{
		ID: "1", Namespace: "shop", User: "anna", Workload: session.InterceptWorkload{Kind: "Deployment", Name: "api"}, Phase: phase, Header: "x-fairlead: anna",
		Ports: []session.InterceptedPort{{Port: 80, Protocol: "TCP", Local: "127.0.0.1:3000", Listening: true}},
	}
	for _, change := range changes {
		change(&i)
	}
	return i
}

func idle(i *session.Intercept) {
	i.Ports = []session.InterceptedPort{{Port: 80, Protocol: "TCP", Local: "127.0.0.1:3000"}}
}

func told(message string) func(*session.Intercept) {
	return func(i *session.Intercept) { i.Message = message }
}

func theirs(i *session.Intercept) { i.ID, i.User = "2", "bob" }

func TestDiff(t *testing.T) {
	off := session.Status{State: session.Disconnected}
	connecting := session.Status{State: session.Connecting, Context: "dev"}
	silent := problem.New(problem.NoCarrier, "See: fairlead doctor.", "no way carries data")
	missing := problem.New(problem.GatewayMissing, "Install it.", "no gateway runs")
	cancelled := problem.New(problem.Cancelled, "", "cancelled")
	active, suspended := session.InterceptActive, session.InterceptSuspended
	everyone := func(s session.Status, all ...session.Intercept) State {
		return State{Session: s, Everyone: append([]session.Intercept{}, all...)}
	}
	for name, test := range map[string]struct {
		before, now State
		want        []string // name, level, ! for a notification, a part of the text
	}{
		"nothing":                       {State{Session: connected()}, State{Session: connected()}, nil},
		"from nothing":                  {State{}, State{Session: off}, nil},
		"connecting":                    {State{Session: off}, State{Session: connecting}, nil},
		"connected":                     {State{Session: connecting}, State{Session: connected()}, []string{"connected good! Connected to dev, namespace shop, by udp."}},
		"connected before it was asked": {State{Session: off}, State{Session: connected()}, []string{"connected good! Connected to dev"}},
		"lost":                          {State{Session: connected()}, State{Session: connected(in(session.Reconnecting, nil))}, []string{"lost warning! comes back by itself"}},
		"what keeps it":                 {State{Session: connected(in(session.Reconnecting, nil))}, State{Session: connected(in(session.Reconnecting, silent))}, []string{"problem trouble No way carries data."}},
		"back":                          {State{Session: connected(in(session.Reconnecting, silent))}, State{Session: connected()}, []string{"back good! The connection to dev is back, by udp."}},
		"disconnected":                  {State{Session: connected(in(session.Disconnecting, nil))}, State{Session: off}, []string{"disconnected info Disconnected from dev; everything is put back."}},
		"taken over by another session": {State{Session: connected()}, State{Session: session.Status{State: session.Disconnected, Problem: problem.New(problem.NotConnected, "", "another session")}}, []string{"disconnected trouble! Another session."}},
		"connecting failed":             {State{Session: connecting}, State{Session: session.Status{State: session.Disconnected, Context: "dev", Problem: missing}}, []string{"connect-failed trouble! No gateway runs."}},
		"connecting was cancelled":      {State{Session: connecting}, State{Session: session.Status{State: session.Disconnected, Problem: cancelled}}, []string{"disconnected info was cancelled"}},
		"connecting was stopped":        {State{Session: connecting}, State{Session: off}, []string{"disconnected info Connecting to dev was stopped"}},
		"another cluster": {
			State{Session: connected()}, State{Session: session.Status{State: session.Connecting, Context: "staging"}},
			[]string{"disconnected info Disconnected from dev"},
		},
		"carrier": {State{Session: connected()}, State{Session: connected(func(s *session.Status) {
			s.Carrier = session.CarrierStatus{Active: "relay", Reason: "UDP is not answered"}
		})}, []string{"carrier info by relay now, instead of udp: UDP is not answered."}},
		"namespace":  {State{Session: connected()}, State{Session: connected(func(s *session.Status) { s.Namespace = "other" })}, []string{"namespace info in namespace other now"}},
		"names lost": {State{Session: connected()}, State{Session: connected(func(s *session.Status) { s.DNS = session.DNSStatus{Detail: "timeout"} })}, []string{"dns-lost warning timeout"}},
		"names back": {State{Session: connected(func(s *session.Status) { s.DNS.Healthy = false })}, State{Session: connected()}, []string{"dns-back good again"}},
		"a problem":  {State{Session: connected()}, State{Session: connected(in(session.Connected, silent))}, []string{"problem warning No way"}},

		"intercept active": {
			State{Session: connected(with(intercept("Pending")))}, State{Session: connected(with(intercept(active)))},
			[]string{"intercept-active good! shop/api is intercepted: requests with x-fairlead: anna go to 127.0.0.1:3000."},
		},
		"intercept active, nobody listens": {
			State{Session: connected()}, State{Session: connected(with(intercept(active, idle)))},
			[]string{"intercept-active good! ", "intercept-no-listener warning! Nothing listens on 127.0.0.1:3000"},
		},
		"the program ends":   {State{Session: connected(with(intercept(active)))}, State{Session: connected(with(intercept(active, idle)))}, []string{"intercept-no-listener warning! "}},
		"the program starts": {State{Session: connected(with(intercept(active, idle)))}, State{Session: connected(with(intercept(active)))}, []string{"intercept-listener good listens on 127.0.0.1:3000 now"}},
		"left":               {State{Session: connected(with(intercept(active)))}, State{Session: connected()}, []string{"intercept-left info no longer"}},
		"left by disconnect": {State{Session: connected(in(session.Disconnecting, nil), with(intercept(active)))}, State{Session: off}, []string{"disconnected info "}},
		"dropped": {
			State{Session: connected(with(intercept(active)))}, State{Session: connected(with(intercept(session.InterceptEnded, told("its time is over"))))},
			[]string{"intercept-dropped warning! Its time is over."},
		},
		"left, as the gateway says first": {
			State{Session: connected(with(intercept(active)))}, State{Session: connected(with(intercept(session.InterceptEnded, func(i *session.Intercept) { i.Leaving = true })))},
			[]string{"intercept-left info no longer"},
		},
		"left by disconnect, as the gateway says first": {
			State{Session: connected(with(intercept(active)))}, State{Session: connected(in(session.Disconnecting, nil), with(intercept(session.InterceptEnded)))}, nil,
		},
		"dropped, then forgotten": {State{Session: connected(with(intercept(session.InterceptEnded)))}, State{Session: connected()}, nil},
		"refused": {
			State{Session: connected(with(intercept("Pending")))}, State{Session: connected(with(intercept(session.InterceptRefused, told("bob has it"))))},
			[]string{"intercept-refused trouble! Bob has it."},
		},
		"suspended": {
			State{Session: connected(with(intercept(active)))}, State{Session: connected(with(intercept(suspended)))},
			[]string{"intercept-suspended warning! the app gets the requests"},
		},
		"suspended with the connection": {
			State{Session: connected(with(intercept(active)))}, State{Session: connected(in(session.Reconnecting, nil), with(intercept(suspended)))},
			[]string{"lost warning! "},
		},
		"resumed with the connection": {
			State{Session: connected(in(session.Reconnecting, nil), with(intercept(suspended)))}, State{Session: connected(with(intercept(active)))},
			[]string{"back good! ", "intercept-resumed good again"},
		},
		"a teammate joins": {
			everyone(connected(with(intercept(active))), intercept(active)), everyone(connected(with(intercept(active))), intercept(active), intercept(active, theirs)),
			[]string{"intercept-taken warning! bob intercepts shop/api, too."},
		},
		"a teammate was there": {
			State{Session: connected(with(intercept(active)))}, everyone(connected(with(intercept(active))), intercept(active, theirs)), nil,
		},
		"a teammate intercepts something else": {
			everyone(connected(with(intercept(active)))), everyone(connected(with(intercept(active))), intercept(active, theirs, func(i *session.Intercept) { i.Workload.Name = "web" })), nil,
		},
		"helper was never asked": {State{}, State{Helper: Condition{Known: true, Problem: missing}}, nil},
		"helper lost":            {State{Helper: Condition{Known: true}}, State{Helper: Condition{Known: true, Problem: missing}}, []string{"helper-lost trouble "}},
		"helper back":            {State{Helper: Condition{Known: true, Problem: missing}}, State{Helper: Condition{Known: true}}, []string{"helper-back good ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Diff(test.before, test.now)
			if len(got) != len(test.want) {
				t.Fatalf("got %+v, want %q", got, test.want)
			}
			for n, want := range test.want {
				mark := ""
				if got[n].Notify {
					mark = "!"
				}
				head := fmt.Sprintf("%s %s%s ", got[n].Name, got[n].Level, mark)
				text, ok := strings.CutPrefix(want, head)
				if !ok || !strings.Contains(got[n].Text, text) {
					t.Errorf("got %q %q, want %q", head, got[n].Text, want)
				}
				if got[n].Kind == "" || !strings.HasSuffix(got[n].Text, ".") {
					t.Errorf("no kind or no sentence: %+v", got[n])
				}
			}
		})
	}
}

func TestLog(t *testing.T) {
	var l Log
	l.Add(since)
	l.Add(since, Event{Text: "first"}, Event{Text: "second", Time: since.Add(time.Hour)})
	before := l.Events()
	l.Add(since.Add(time.Minute), Event{Text: "third"})
	if len(before) != 2 || before[0].ID != 2 || before[0].Time != since.Add(time.Hour) || before[1].ID != 1 || before[1].Time != since {
		t.Errorf("got %+v", before)
	}
	if now := l.Events(); len(now) != 3 || now[0].Text != "third" || now[0].ID != 3 || now[2].Text != "first" {
		t.Errorf("got %+v", now)
	}
	many := make([]Event, Kept+5)
	for i := range many {
		many[i].Text = fmt.Sprint(i)
	}
	l.Add(since, many...)
	if now := l.Events(); len(now) != Kept || now[0].ID != 3+Kept+5 || now[0].Text != fmt.Sprint(Kept+4) || now[Kept-1].Text != "5" || now[Kept-1].ID != 3+6 {
		t.Errorf("got %d events, from %+v to %+v", len(now), now[0], now[len(now)-1])
	}
	for range Kept {
		l.Add(since, Event{Text: "x"})
	}
	if now := l.Events(); len(now) != Kept || now[Kept-1].Text != "x" {
		t.Errorf("got %d events, the oldest %+v", len(now), now[len(now)-1])
	}
}
