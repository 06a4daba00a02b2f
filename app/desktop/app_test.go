// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/app/tray"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// fakes stands for the daemon, the window and the notifications; it writes down what happens.
type fakes struct {
	said      chan string
	snapshots chan *localapi.Snapshot // nil ends the daemon
	starts    error
	leaves    error
}

func newFakes() *fakes {
	return &fakes{said: make(chan string, 100), snapshots: make(chan *localapi.Snapshot)}
}

func (f *fakes) say(format string, args ...any) { f.said <- fmt.Sprintf(format, args...) }

func (f *fakes) Start(context.Context) error {
	f.say("start")
	return f.starts
}

func (f *fakes) Page(context.Context) (localapi.Page, error) { return localapi.Page{}, nil }

func (f *fakes) WatchSnapshots(ctx context.Context, each func(localapi.Snapshot) error) error {
	for {
		select {
		case s := <-f.snapshots:
			if s == nil {
				return nil
			}
			if err := each(*s); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fakes) Contexts(context.Context) ([]localapi.Context, error) {
	f.say("contexts")
	return []localapi.Context{{Name: "dev"}}, nil
}

func (f *fakes) Connect(_ context.Context, name string) error {
	f.say("connect %s", name)
	return problem.New(problem.GatewayMissing, "", "no gateway")
}

func (f *fakes) Disconnect(context.Context) error {
	f.say("disconnect")
	return problem.New(problem.Cancelled, "", "cancelled")
}

func (f *fakes) Leave(_ context.Context, namespace, name string) error {
	f.say("leave %s/%s", namespace, name)
	return f.leaves
}

func (f *fakes) Open(place string) { f.say("open %s", place) }
func (f *fakes) Reload()           { f.say("reload") }
func (f *fakes) Copy(text string)  { f.say("copy %s", text) }
func (f *fakes) Quit()             { f.say("quit") }
func (f *fakes) Notify(n Notification) error {
	f.say("notify %s: %s", n.Title, n.Text)
	return errors.New("no service")
}
func (f *fakes) Close() {}

// hears takes what was said since the last time, in any order.
func (f *fakes) hears(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for len(f.said) > 0 {
		got = append(got, <-f.said)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func startApp(t *testing.T, f *fakes) (app *App, ctx context.Context, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	app = NewApp(f, f, func(v tray.View) { f.say("icon %s", v.Icon) }, slog.New(slog.DiscardHandler))
	app.SetNotifier(f)
	done := make(chan struct{})
	go func() {
		app.Follow(ctx)
		close(done)
	}()
	return app, ctx, func() { cancel(); <-done }
}

func TestAppFollowsTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		_, _, end := startApp(t, f)
		defer end()
		began := time.Now()
		s := localapi.Snapshot{Daemon: localapi.DaemonInfo{Started: began}, Session: localapi.Status{State: session.Disconnected}}
		s.Settings.ConnectAtStart = "dev"
		s.Activity = []localapi.Event{{ID: 7, Notify: true, Text: "old"}}
		f.snapshots <- &s
		f.hears(t, "start", "icon disconnected", "contexts", "connect dev", "icon disconnected")

		s.Session.State = session.Connected
		s.Activity = append([]localapi.Event{
			{ID: 9, Text: "not worth it"}, {ID: 8, Notify: true, Name: activity.Connected, Text: "Connected to dev.", Hint: "Go on."},
		}, s.Activity...)
		f.snapshots <- &s
		f.hears(t, "icon connected", "notify Connected: Connected to dev.\nGo on.")
		f.snapshots <- &s
		f.hears(t, "icon connected")

		f.snapshots <- nil // the daemon ends, and another one comes
		f.hears(t, "icon connecting")
		time.Sleep(grace)
		f.hears(t, "start")
		other := localapi.Snapshot{Daemon: localapi.DaemonInfo{Started: began.Add(time.Hour)}, Session: localapi.Status{State: session.Disconnected}, Settings: s.Settings}
		other.Activity = []localapi.Event{{ID: 1, Notify: true, Text: "new"}}
		f.snapshots <- &other
		f.hears(t, "icon disconnected", "reload", "contexts", "notify Fairlead: new", "icon disconnected")

		other.Settings.Kubeconfigs = []string{"/home/ada/other"}
		f.snapshots <- &other
		f.hears(t, "icon disconnected", "contexts", "icon disconnected")
		time.Sleep(2 * contextsAge)
		f.snapshots <- &other
		f.hears(t, "icon disconnected", "contexts", "icon disconnected")
	})
}

func TestAppTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		f.starts = errors.New("no program")
		_, _, end := startApp(t, f)
		defer end()
		f.hears(t, "start", "icon connecting")
		time.Sleep(firstWait)
		f.hears(t, "start", "icon connecting")
		time.Sleep(firstWait)
		f.hears(t)
		time.Sleep(firstWait)
		f.hears(t, "start", "icon connecting")
	})
}

func TestAppDoesWhatIsClicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes()
		f.leaves = problem.New(problem.NotFound, "Look again.", "there is no such intercept")
		app, ctx, end := startApp(t, f)
		defer end()
		f.hears(t, "start")
		for _, test := range []struct {
			action tray.Action
			want   []string
		}{
			{tray.Action{Do: tray.Connect, Context: "dev"}, []string{"connect dev"}}, // that it failed is in the events
			{tray.Action{Do: tray.Disconnect}, []string{"disconnect"}},
			{tray.Action{Do: tray.Leave, Namespace: "shop", Name: "a"}, []string{"leave shop/a", "notify Leaving the intercept did not work: there is no such intercept\nLook again."}},
			{tray.Action{Do: tray.Copy, Text: "x: y"}, []string{"copy x: y"}},
			{tray.Action{Do: tray.Open, Page: tray.PageDoctor}, []string{"open /doctor"}},
			{tray.Action{}, nil},
		} {
			app.Click(ctx, test.action)
			f.hears(t, test.want...)
		}
		app.Begin(Arguments{Hidden: true})
		f.hears(t)
		app.Begin(Arguments{})
		f.hears(t, "open ")
		app.Begin(Arguments{Hidden: true, Link: "fairlead://intercept?workload=a"})
		f.hears(t, "open /intercept?workload=a")
		app.Begin(Arguments{Link: "fairlead://format-disk"})
		f.hears(t, "open ", `notify The link did not work: Fairlead does not open this link: it names "format-disk", which this version does not have`+
			"\nAsk whoever gave you the link for a new one, or open Fairlead and choose by hand.")

		if app.Hides() {
			t.Error("closing hides the window where there is no tray")
		}
		app.SetTray(true)
		if !app.Hides() {
			t.Error("closing ends the window where there is a tray")
		}
		app.Click(ctx, tray.Action{Do: tray.Quit})
		f.hears(t, "quit")
		if app.Hides() {
			t.Error("the window hides instead of ending")
		}
	})
}

func TestNewsAreFew(t *testing.T) {
	var n News
	s := localapi.Snapshot{Daemon: localapi.DaemonInfo{Started: time.Now()}}
	n.Of(s)
	for id := uint64(1); id <= 10; id++ {
		s.Activity = append([]localapi.Event{{ID: id, Notify: true, Kind: activity.Intercept, Level: activity.Trouble, Text: fmt.Sprint(id), Where: "shop/a"}}, s.Activity...)
	}
	told := n.Of(s)
	if len(told) != mostNews || told[0].Text != "8" || told[2].Text != "10" {
		t.Errorf("%+v", told)
	}
	want := Notification{Title: "Fairlead", Text: "10", Page: tray.PageIntercepts, Topic: "intercept shop/a", Urgent: true}
	if told[2] != want {
		t.Errorf("%+v, want %+v", told[2], want)
	}
	s.Settings.Quiet = true
	s.Activity = append([]localapi.Event{{ID: 11, Notify: true}}, s.Activity...)
	if told := n.Of(s); len(told) > 0 {
		t.Errorf("while it is to be quiet: %+v", told)
	}
	s.Settings.Quiet = false
	if told := n.Of(s); len(told) > 0 {
		t.Errorf("afterwards: %+v", told)
	}
}
