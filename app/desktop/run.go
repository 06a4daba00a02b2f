// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package desktop

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/app/tray"
)

// endWithin is how long the window toolkit may take to end. The process owns nothing that it could lose.
const endWithin = 3 * time.Second

// Config is what the window runs with.
type Config struct {
	Arguments   Arguments
	Version     string
	Environment []string // of the user's session, by which kubeconfigs are found
	Log         *slog.Logger
}

// Run shows the window and the tray until the user quits, or a signal asks to. Where there is a window of this user
// already, that one comes to the front instead. It must be called on the main thread.
func Run(c Config) error {
	socket, err := localapi.DefaultSocket()
	if err != nil {
		return err
	}
	file, err := placeFile()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	instance, err := ClaimInstance(ctx, InstanceSocket(socket), c.Arguments)
	if errors.Is(err, ErrHandedOver) {
		return nil
	}
	if err != nil {
		return err
	}
	defer instance.Close()

	daemon := NewLocalDaemon(socket, c.Version, c.Environment)
	w := newWindow(prefetch(ctx, daemon.Page, !c.Arguments.Hidden), file, c.Log)
	icon := make(chan *tray.Tray, 1)
	views := make(chan tray.View, 1)
	app := NewApp(daemon, w, func(v tray.View) { replace(views, v) }, c.Log)
	w.hides = app.Hides
	w.linked = func(link string) { app.Begin(Arguments{Link: link}) }
	events := tray.Events{
		Clicked: func(a tray.Action) { app.Click(ctx, a) },
		Opened:  func() { app.RefreshContexts(ctx) },
		Present: app.SetTray,
	}
	clicked := func(page string) { app.Click(ctx, tray.Action{Do: tray.Open, Page: page}) }
	if runtime.GOOS == "linux" {
		icon <- tray.Start(ctx, events)
		setNotifier(ctx, app, clicked, c.Log)
	} else {
		w.begun = func(window context.Context) {
			icon <- tray.Start(ctx, events)
			setNotifier(window, app, clicked, c.Log)
		}
	}
	go func() {
		t := <-icon
		for v := range views {
			t.Show(v)
		}
	}()
	go quitOnSignal(app)
	go app.Follow(ctx)
	go func() {
		for a := range instance.Starts() {
			app.Begin(a)
		}
	}()
	app.Begin(c.Arguments)
	if runtime.GOOS == "darwin" && c.Arguments.Hidden {
		w.do(false, func(context.Context) {}) // the menu bar needs the loop of the window
	}
	return w.run(ctx)
}

// quitOnSignal ends the window when the session ends. The toolkit would only close it, which may be to hide it.
func quitOnSignal(app *App) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	<-signals
	time.AfterFunc(endWithin, func() { os.Exit(0) })
	app.Quit()
}

func setNotifier(ctx context.Context, app *App, clicked func(page string), log *slog.Logger) {
	notifier, err := newNotifier(ctx, clicked)
	if err != nil {
		log.Info("no notifications", "error", err)
		return
	}
	app.SetNotifier(notifier)
}

// replace puts v into a channel of one, in place of what nobody has taken yet.
func replace(views chan tray.View, v tray.View) {
	for {
		select {
		case views <- v:
			return
		default:
		}
		select {
		case <-views:
		default:
		}
	}
}

// prefetch returns an Open that asks for the first address while the window is still being made.
func prefetch(ctx context.Context, open func(context.Context) (localapi.Page, error), now bool) Open {
	type answer struct {
		page localapi.Page
		err  error
	}
	first := make(chan answer, 1)
	if now {
		go func() {
			limited, cancel := context.WithTimeout(ctx, openTimeout)
			defer cancel()
			page, err := open(limited)
			first <- answer{page, err}
		}()
	}
	used := !now
	return func(ctx context.Context) (string, error) {
		if !used {
			used = true
			select {
			case a := <-first:
				return a.page.URL, a.err
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		page, err := open(ctx)
		return page.URL, err
	}
}
