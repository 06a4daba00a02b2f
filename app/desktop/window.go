// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	goruntime "runtime"
	"sync"

	"github.com/wailsapp/wails/v2"
	"github.com/wailsapp/wails/v2/pkg/logger"
	"github.com/wailsapp/wails/v2/pkg/menu"
	"github.com/wailsapp/wails/v2/pkg/menu/keys"
	"github.com/wailsapp/wails/v2/pkg/options"
	"github.com/wailsapp/wails/v2/pkg/options/assetserver"
	"github.com/wailsapp/wails/v2/pkg/options/linux"
	"github.com/wailsapp/wails/v2/pkg/options/mac"
	"github.com/wailsapp/wails/v2/pkg/runtime"
)

// window is the one window of this process. It is made when it is first needed: a tray alone takes a tenth of the memory.
type window struct {
	log    *slog.Logger
	open   Open
	place  string      // file of the place on the screen
	hides  func() bool // whether closing only hides
	begun  func(context.Context)
	linked func(link string) // a link was clicked, where that does not start the program

	wanted chan struct{} // closed when there is to be a window

	mu      sync.Mutex
	want    bool
	visible bool            // it is to be seen as soon as it is there
	at      string          // place on the page that it is to open at
	ctx     context.Context // of Wails, which finds the window by it; nil until it has started
	waiting []func(context.Context)
	quit    bool
	ending  bool // the toolkit has been told to end
}

func newWindow(open Open, place string, log *slog.Logger) *window {
	return &window{open: open, place: place, log: log, wanted: make(chan struct{})}
}

// run shows the window once it is wanted, and returns when it has ended, or when ctx is done before.
func (w *window) run(ctx context.Context) error {
	select {
	case <-w.wanted:
	case <-ctx.Done():
		return nil
	}
	w.mu.Lock()
	visible, quit := w.visible, w.quit
	w.mu.Unlock()
	if quit {
		return nil
	}
	place := loadPlace(w.place)
	size, _ := place.Fit(nil)
	state := options.Normal
	if place.Maximised {
		state = options.Maximised
	}
	err := wails.Run(&options.App{
		Title:              "Fairlead",
		Width:              size.Width,
		Height:             size.Height,
		MinWidth:           minWidth,
		MinHeight:          minHeight,
		StartHidden:        !visible,
		WindowStartState:   state,
		BackgroundColour:   options.NewRGB(0xf6, 0xf7, 0xf9),
		AssetServer:        &assetserver.Options{Handler: Bootstrap(w.first)},
		OnStartup:          func(ctx context.Context) { w.started(ctx, place) },
		OnBeforeClose:      w.closing,
		Menu:               w.menu(),
		LogLevelProduction: logger.ERROR,
		// The page asks for files by events of the toolkit, which binds nothing else.
		BindingsAllowedOrigins: pageOrigins,
		// The page is text: it needs no GPU, whose drivers are the most frequent reason for an empty window.
		Linux: &linux.Options{ProgramName: "fairlead", WebviewGpuPolicy: linux.WebviewGpuPolicyNever},
		// macOS tells of a link that was clicked by an event; elsewhere it is an argument of a second start.
		Mac: &mac.Options{OnUrlOpen: w.linked},
	})
	if err != nil {
		return fmt.Errorf("show the window: %w", err)
	}
	return nil
}

// first returns the address of the page with the place that the window was opened for, which it takes once.
func (w *window) first(ctx context.Context) (string, error) {
	page, err := w.open(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := w.at; at != "" && err == nil {
		w.at = ""
		page += "&at=" + url.QueryEscape(at)
	}
	return page, err
}

func (w *window) started(ctx context.Context, place Place) {
	w.settle(ctx, place)
	serveFiles(ctx, w.log)
	w.mu.Lock()
	w.ctx = ctx
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	if w.begun != nil {
		w.begun(ctx)
	}
	for _, action := range waiting {
		action(ctx)
	}
}

// settle brings the window to where it was.
func (w *window) settle(ctx context.Context, place Place) {
	size, remembered := place.Fit(screensOf(ctx))
	if width, height := runtime.WindowGetSize(ctx); width > size.Width || height > size.Height {
		runtime.WindowSetSize(ctx, size.Width, size.Height)
	}
	if remembered && !place.Maximised {
		runtime.WindowSetPosition(ctx, place.X, place.Y)
	}
}

func screensOf(ctx context.Context) []Size {
	found, err := runtime.ScreenGetAll(ctx)
	if err != nil {
		return nil
	}
	var screens []Size
	for _, s := range found {
		screens = append(screens, Size(s.Size))
	}
	return screens
}

// do runs an action once there is a window to act on; it makes one if there is none yet.
func (w *window) do(visible bool, action func(context.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.want {
		w.want, w.visible = true, visible
		close(w.wanted)
	}
	if w.ctx == nil {
		w.waiting = append(w.waiting, action)
		return
	}
	go action(w.ctx)
}

// Open brings the window to the front, at a place on the page.
func (w *window) Open(place string) {
	w.mu.Lock()
	begun := w.ctx != nil
	if !begun && place != "" {
		w.at = place
	}
	w.mu.Unlock()
	w.do(true, func(ctx context.Context) {
		runtime.WindowShow(ctx)
		runtime.WindowUnminimise(ctx)
		if begun && place != "" {
			runtime.WindowExecJS(ctx, goTo(place))
		}
	})
}

// goTo is a script that leads the page to a place; where there is no page, because the daemon was lost, it begins anew.
func goTo(place string) string {
	hash, _ := json.Marshal("#" + place)
	begin, _ := json.Marshal(startURL() + "?at=" + url.QueryEscape(place))
	return fmt.Sprintf("if (location.pathname.startsWith('/visit/')) location.hash = %s; else location.href = %s", hash, begin)
}

// startURL is the address of the window's own first page.
func startURL() string {
	if goruntime.GOOS == "windows" {
		return "http://wails.localhost/"
	}
	return "wails://wails/"
}

// Reload opens the page anew, if there is a window.
func (w *window) Reload() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx != nil {
		runtime.WindowReloadApp(w.ctx)
	}
}

func (w *window) Copy(text string) {
	w.do(false, func(ctx context.Context) {
		if err := runtime.ClipboardSetText(ctx, text); err != nil {
			w.log.Warn("nothing was copied", "error", err)
		}
	})
}

// Quit ends the window. w.hides must say no by then.
func (w *window) Quit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quit = true
	if !w.want {
		w.want = true
		close(w.wanted)
	}
	if w.ctx != nil {
		go runtime.Quit(w.ctx)
	} else {
		w.waiting = append(w.waiting, runtime.Quit)
	}
}

// closing is called before the window closes, for whatever reason; it says whether it must not.
func (w *window) closing(ctx context.Context) (prevent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending { // once is enough: a signal comes to the toolkit and to quitOnSignal
		return true
	}
	w.remember(ctx)
	if w.hides() {
		runtime.WindowHide(ctx)
		return true
	}
	w.ending = true
	return false
}

// remember saves where the window is.
func (w *window) remember(ctx context.Context) {
	place := loadPlace(w.place)
	if place.Maximised = runtime.WindowIsMaximised(ctx); !place.Maximised {
		place.X, place.Y = runtime.WindowGetPosition(ctx)
		place.Width, place.Height = runtime.WindowGetSize(ctx)
	}
	place.Screens = screensOf(ctx)
	if err := place.save(w.place); err != nil {
		w.log.Warn("the window's place is not remembered", "error", err)
	}
}

// menu is what macOS has at the top of the screen; it copies and pastes by it. Elsewhere a bar would only take room from
// the page, which has all of it.
func (w *window) menu() *menu.Menu {
	if goruntime.GOOS != "darwin" {
		return nil
	}
	bar := menu.NewMenu()
	app := bar.AddSubmenu("Fairlead")
	app.AddText("Reload", keys.CmdOrCtrl("r"), func(*menu.CallbackData) { w.Reload() })
	app.AddSeparator()
	app.AddText("Close window", keys.CmdOrCtrl("w"), func(*menu.CallbackData) { w.do(true, runtime.Quit) })
	bar.Append(menu.EditMenu())
	return bar
}
