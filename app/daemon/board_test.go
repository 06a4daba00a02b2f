// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

var since = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func connectedStatus() localapi.Status {
	return localapi.Status{
		State: session.Connected, Context: "dev", Namespace: "shop", Since: &since, Connection: "fairlead/anna",
		Carrier: session.CarrierStatus{Active: "udp"}, DNS: session.DNSStatus{Healthy: true},
	}
}

func TestSnapshotsAreWhole(t *testing.T) {
	b := newBoard()
	first, changed, _ := b.get()
	if first.Revision != 0 || first.Session.State != session.Disconnected || first.Everyone == nil || first.Work == nil || first.Problems == nil || first.Activity == nil {
		t.Errorf("got %+v", first)
	}
	b.update(func(f *facts) { f.session = connectedStatus() })
	<-changed
	second, _, _ := b.get()
	if second.Revision != 1 || second.Session.State != session.Connected || len(second.Activity) != 1 || second.Activity[0].Name != "connected" || second.Activity[0].ID != 1 {
		t.Errorf("got %+v", second)
	}
	b.update(func(f *facts) { f.session = connectedStatus() })
	if third, _, _ := b.get(); third.Revision != 1 {
		t.Errorf("nothing has changed, and it is revision %d", third.Revision)
	}
}

// recorder keeps what a watcher gets, and when.
type recorder struct {
	got []localapi.Snapshot
	at  []time.Duration
}

func record(ctx context.Context, b *board) *recorder {
	r, began := &recorder{}, time.Now()
	go func() {
		for s := range b.watch(ctx) {
			r.got, r.at = append(r.got, s), append(r.at, time.Since(began))
		}
	}()
	synctest.Wait()
	return r
}

func TestChangesAreShownAtOnceAndNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := record(ctx, b)
		time.Sleep(time.Second)
		for step := range 100 { // one each millisecond
			b.update(func(f *facts) { f.session = localapi.Status{State: session.Connecting, Step: string(rune('A' + step))} })
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.got) != 3 || r.at[1] != time.Second || r.at[2] != time.Second+snapshotEvery {
			t.Fatalf("got %d at %v", len(r.got), r.at)
		}
		if last := r.got[2]; last.Session.Step != string(rune('A'+99)) || last.Revision != 100 {
			t.Errorf("the last is revision %d, step %q", last.Revision, last.Session.Step)
		}
	})
}

func TestFiguresAreShownOnceInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b.update(func(f *facts) { f.session = connectedStatus() })
		r := record(ctx, b)
		for n := range 30 { // ten in a second, as they never come
			b.update(func(f *facts) {
				f.session.Received, f.session.Carrier.RTT = uint64(n+1), float64(n)
				f.session.Intercepts = []localapi.Intercept{{ID: "1", Phase: session.InterceptActive, Counts: session.InterceptCounts{Matched: uint64(n)}}}
			})
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(r.got) < 4 || len(r.got) > 6 {
			t.Errorf("%d snapshots at %v", len(r.got), r.at)
		}
		if last := r.got[len(r.got)-1]; last.Session.Received != 30 {
			t.Errorf("the last figure shown is %d", last.Session.Received)
		}
		b.update(func(f *facts) { f.session.Received = 31 })
		b.update(func(f *facts) { f.session.State = session.Reconnecting })
		synctest.Wait()
		if last := r.got[len(r.got)-1]; last.Session.State != session.Reconnecting || last.Session.Received != 31 {
			t.Errorf("a change waits: %s, %d", last.Session.State, last.Session.Received)
		}
		b.close()
	})
}

func TestASlowWatcherGetsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watched := b.watch(ctx)
		synctest.Wait()
		for range 3 {
			b.update(func(f *facts) { f.workloads++ })
			synctest.Wait()
		}
		if got := <-watched; got.Workloads != 3 {
			t.Errorf("got %d", got.Workloads)
		}
		b.close()
		if _, more := <-watched; more {
			t.Error("it goes on after the end")
		}
	})
}

func TestEveryoneHasThisLaptopsOwnWord(t *testing.T) {
	mine := localapi.Intercept{ID: "1", Namespace: "shop", Name: "b", Mine: true}
	old := localapi.Intercept{ID: "1", Namespace: "shop", Name: "b"}
	theirs := localapi.Intercept{ID: "2", Namespace: "shop", Name: "a"}
	got := everyone(facts{session: localapi.Status{Intercepts: []localapi.Intercept{mine}}, everyone: []localapi.Intercept{old, theirs}})
	if len(got) != 2 || got[0].ID != "2" || !got[1].Mine {
		t.Errorf("got %+v", got)
	}
}

func TestWork(t *testing.T) {
	b := newBoard()
	d := &desk{board: b}
	first := d.begin(localapi.WithCall(t.Context(), "call"), workConnect, "Connecting to dev", "dev")
	second := d.begin(t.Context(), workLeave, "Leaving shop/api", "dev")
	b.update(func(f *facts) { f.session = localapi.Status{State: session.Connecting, Step: "asking"} })
	second.step("looking")
	second.step("")
	s, _, _ := b.get()
	if len(s.Work) != 2 || s.Work[0].ID != "call" || !s.Work[0].Stoppable || s.Work[0].Step != "asking" || s.Work[1].Stoppable || s.Work[1].ID == "" || s.Work[1].Step != "looking" {
		t.Errorf("got %+v", s.Work)
	}
	first.end()
	if s, _, _ = b.get(); len(s.Work) != 1 || s.Work[0].What != workLeave {
		t.Errorf("got %+v", s.Work)
	}
	second.end()
	second.step("too late")
	if s, _, _ = b.get(); len(s.Work) != 0 {
		t.Errorf("got %+v", s.Work)
	}
}

func TestTroubles(t *testing.T) {
	is := func(code problem.Code, message string) *problem.Problem {
		return problem.New(code, "hint", "%s", message)
	}
	port := func(listening bool) []session.InterceptedPort {
		return []session.InterceptedPort{{Port: 80, Local: "127.0.0.1:3000", Listening: listening}}
	}
	failed := func(p *problem.Problem) facts {
		return facts{session: localapi.Status{State: session.Disconnected, Context: "dev", Problem: p}}
	}
	intercepted := func(i localapi.Intercept) facts {
		i.ID, i.Namespace, i.Workload.Name = "1", "shop", "api"
		s := connectedStatus()
		s.Intercepts = []localapi.Intercept{i}
		return facts{session: s}
	}
	for name, test := range map[string]struct {
		facts  facts
		action string // of the only trouble; "-" is none, "" a trouble without a button
		where  string
	}{
		"all is well":               {facts{session: connectedStatus()}, "-", ""},
		"cancelled":                 {failed(is(problem.Cancelled, "")), "-", ""},
		"no gateway":                {failed(is(problem.GatewayMissing, "")), fixInstallGateway, "dev"},
		"gateway too old":           {failed(problem.From(session.CheckGatewayVersion("0.2.0", "0.1.0"))), fixUpgradeGateway, "dev"},
		"this program too old":      {failed(problem.From(session.CheckGatewayVersion("0.1.0", "0.2.0"))), "", "dev"},
		"route conflict":            {failed(is(problem.RouteConflict, "")), fixMapConflicts, "dev"},
		"no helper":                 {facts{asked: true, helper: localapi.Helper{Problem: is(problem.HelperMissing, "")}}, fixCopy, ""},
		"no helper, as it tried":    {facts{session: localapi.Status{Context: "dev", Problem: is(problem.HelperMissing, "")}, asked: true, helper: localapi.Helper{Problem: is(problem.HelperMissing, "")}}, fixCopy, "dev"},
		"denied":                    {failed(is(problem.HelperDenied, "")), fixCopy, "dev"},
		"the helper is there since": {facts{session: localapi.Status{State: session.Disconnected, Problem: is(problem.HelperMissing, "")}, asked: true}, "-", ""},
		"credentials expired":       {failed(is(problem.Unauthorized, "")), fixConnect, "dev"},
		"nothing gets through":      {failed(is(problem.NoCarrier, "")), fixDoctor, "dev"},
		"no such namespace":         {failed(is(problem.NamespaceNotFound, "")), "", "dev"},
		"settings":                  {facts{settingsProblem: is(problem.Usage, "")}, fixSettings, ""},
		"nobody listens":            {intercepted(localapi.Intercept{Phase: session.InterceptActive, Ports: port(false)}), fixOpenIntercept, "shop/api"},
		"somebody listens":          {intercepted(localapi.Intercept{Phase: session.InterceptActive, Ports: port(true)}), "-", ""},
		"suspended":                 {intercepted(localapi.Intercept{Phase: session.InterceptSuspended}), fixOpenIntercept, "shop/api"},
		"refused":                   {intercepted(localapi.Intercept{Phase: session.InterceptRefused}), fixLeave, "shop/api"},
	} {
		t.Run(name, func(t *testing.T) {
			got := troubles(test.facts, nil, since)
			if test.action == "-" {
				if len(got) != 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Where != test.where || got[0].Since != since || got[0].Problem.Hint == "" {
				t.Fatalf("got %+v", got)
			}
			action := ""
			if fix := got[0].Fix; fix != nil {
				action = fix.Action
				if fix.Label == "" || (fix.Command == "") != (action != fixCopy) {
					t.Errorf("got %+v", fix)
				}
			}
			if action != test.action {
				t.Errorf("the button does %q, want %q", action, test.action)
			}
			if later := troubles(test.facts, got, since.Add(time.Hour)); later[0].Since != since {
				t.Errorf("since %v", later[0].Since)
			}
		})
	}
}

func TestAGatewayThatWasInstalledIsNoLongerMissing(t *testing.T) {
	missing := problem.New(problem.GatewayMissing, "Install it.", "no gateway runs")
	b := newBoard()
	b.update(func(f *facts) {
		f.session = localapi.Status{State: session.Disconnected, Context: "dev", Problem: missing}
	})
	b.update(func(f *facts) { mendGateway(f, "another") })
	if s, _, _ := b.get(); len(s.Problems) != 1 {
		t.Errorf("another cluster's: %+v", s.Problems)
	}
	b.update(func(f *facts) { mendGateway(f, "dev") })
	if s, _, _ := b.get(); len(s.Problems) != 0 {
		t.Errorf("got %+v", s.Problems)
	}
	again := *missing
	b.update(func(f *facts) {
		f.session = localapi.Status{State: session.Disconnected, Context: "dev", Problem: &again}
	})
	if s, _, _ := b.get(); len(s.Problems) != 1 {
		t.Errorf("a later attempt: %+v", s.Problems)
	}
}
