// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/app/tray"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// contextsAge is how old the list of contexts may get: kubeconfigs change without a word.
const contextsAge = time.Minute

// Frame is the window as the toolkit has it. Its methods may be called at the same time, and do not wait.
type Frame interface {
	// Open brings the window to the front, at a place on the page unless that is empty.
	Open(place string)
	// Reload opens the page anew, without showing the window: it is another daemon's.
	Reload()
	Copy(text string)
	Quit()
}

// App joins the daemon, the window, the tray and the notifications. It is safe for concurrent use.
type App struct {
	daemon Daemon
	frame  Frame
	log    *slog.Logger
	// show puts a View into the tray; it must not block.
	show func(tray.View)

	mu       sync.Mutex
	notifier Notifier // nil where there is none
	news     News
	state    tray.State
	last     *localapi.Snapshot // also while the daemon is away
	began    bool               // what is to be done at the start is done
	hasTray  bool
	quitting bool
	asked    time.Time // when the contexts were asked for last
	busy     sync.WaitGroup
}

// NewApp returns an App. Its Follow must run for it to know anything.
func NewApp(d Daemon, f Frame, show func(tray.View), log *slog.Logger) *App {
	return &App{daemon: d, frame: f, show: show, log: log}
}

// SetNotifier makes the App show notifications.
func (a *App) SetNotifier(n Notifier) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notifier = n
}

// SetTray tells whether the desktop shows the tray's icon at the moment.
func (a *App) SetTray(there bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hasTray = there
}

// Follow watches the daemon until ctx is done.
func (a *App) Follow(ctx context.Context) {
	Follow(ctx, a.daemon, func(s *localapi.Snapshot) { a.take(ctx, s) })
	a.busy.Wait()
}

// take shows a snapshot; nil is a daemon that is away.
func (a *App) take(ctx context.Context, s *localapi.Snapshot) {
	a.mu.Lock()
	before := a.last
	a.state.Snapshot = s
	var notifications []Notification
	if s != nil {
		notifications = a.news.Of(*s)
		a.last = s
	}
	first := s != nil && !a.began
	a.began = a.began || first
	notifier := a.notifier
	a.mu.Unlock()

	a.redraw()
	if s == nil {
		return
	}
	another := before != nil && !before.Daemon.Started.Equal(s.Daemon.Started)
	if another {
		a.frame.Reload()
	}
	if another || before == nil || !slices.Equal(before.Settings.Kubeconfigs, s.Settings.Kubeconfigs) {
		a.RefreshContexts(ctx)
	} else {
		a.refreshOldContexts(ctx)
	}
	for _, n := range notifications {
		a.notify(notifier, n)
	}
	if name := s.Settings.ConnectAtStart; first && name != "" && s.Session.State == session.Disconnected {
		a.Click(ctx, tray.Action{Do: tray.Connect, Context: name})
	}
}

func (a *App) notify(notifier Notifier, n Notification) {
	if notifier == nil {
		return
	}
	if err := notifier.Notify(n); err != nil {
		a.log.Warn("a notification is not shown", "title", n.Title, "error", err)
	}
}

func (a *App) redraw() {
	a.mu.Lock()
	state := a.state
	a.mu.Unlock()
	a.show(tray.Show(state))
}

// RefreshContexts asks for the contexts again, in the background.
func (a *App) RefreshContexts(ctx context.Context) {
	a.mu.Lock()
	a.asked = time.Now()
	a.mu.Unlock()
	a.busy.Go(func() {
		contexts, err := a.daemon.Contexts(ctx)
		if err != nil {
			a.log.Debug("the contexts are not known", "error", err)
		}
		a.mu.Lock()
		a.state.Contexts = contexts
		a.mu.Unlock()
		a.redraw()
	})
}

func (a *App) refreshOldContexts(ctx context.Context) {
	a.mu.Lock()
	old := time.Since(a.asked) > contextsAge
	a.mu.Unlock()
	if old {
		a.RefreshContexts(ctx)
	}
}

// Click does what an item of the tray's menu asks for, in the background.
func (a *App) Click(ctx context.Context, action tray.Action) {
	switch action.Do {
	case tray.Connect:
		a.attempt("Connecting", false, func() error { return a.daemon.Connect(ctx, action.Context) })
	case tray.Disconnect:
		a.attempt("Disconnecting", true, func() error { return a.daemon.Disconnect(ctx) })
	case tray.Leave:
		a.attempt("Leaving the intercept", true, func() error { return a.daemon.Leave(ctx, action.Namespace, action.Name) })
	case tray.Copy:
		a.frame.Copy(action.Text)
	case tray.Open:
		a.frame.Open(action.Page)
	case tray.Quit:
		a.Quit()
	}
}

// attempt runs work in the background, and tells the user where it fails. What comes of connecting is in the daemon's
// own events, unless the daemon was never asked.
func (a *App) attempt(what string, tell bool, work func() error) {
	a.busy.Go(func() {
		err := work()
		if err == nil || errors.Is(err, problem.New(problem.Cancelled, "", "")) {
			return
		}
		a.log.Warn("a click in the tray failed", "what", what, "error", err)
		if !tell && !errors.Is(err, localapi.ErrNotRunning) {
			return
		}
		a.mu.Lock()
		notifier := a.notifier
		a.mu.Unlock()
		a.notify(notifier, failure(what, err))
	})
}

// Begin does what the arguments of a start ask for, be it the first or a later one.
func (a *App) Begin(arguments Arguments) {
	if arguments.Hidden && arguments.Link == "" {
		return
	}
	if arguments.Link == "" {
		a.frame.Open("")
		return
	}
	place, err := ParseLink(arguments.Link)
	a.frame.Open(place)
	if err != nil {
		a.mu.Lock()
		notifier := a.notifier
		a.mu.Unlock()
		a.notify(notifier, failure("The link", err))
	}
}

// Hides reports whether closing the window only hides it: only where there is an icon to bring it back with.
func (a *App) Hides() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hasTray && !a.quitting
}

// Quit ends the window and the tray. The connection stays.
func (a *App) Quit() {
	a.mu.Lock()
	a.quitting = true
	a.mu.Unlock()
	a.frame.Quit()
}
