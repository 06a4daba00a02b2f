// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package desktop

import (
	"context"
	"fmt"
	"sync"

	"github.com/wailsapp/wails/v2"
	"github.com/wailsapp/wails/v2/pkg/menu"
	"github.com/wailsapp/wails/v2/pkg/menu/keys"
	"github.com/wailsapp/wails/v2/pkg/options"
	"github.com/wailsapp/wails/v2/pkg/options/assetserver"
	"github.com/wailsapp/wails/v2/pkg/options/linux"
	"github.com/wailsapp/wails/v2/pkg/runtime"
)

// singleInstance names the one window of a user.
const singleInstance = "dev.fairlead.desktop"

// Run shows the window until the user closes it. When one is open already, it comes to the front instead.
func Run(open Open) error {
	w := &window{}
	err := wails.Run(&options.App{
		Title:       "Fairlead",
		Width:       820,
		Height:      900,
		MinWidth:    360,
		MinHeight:   400,
		AssetServer: &assetserver.Options{Handler: Bootstrap(open)},
		OnStartup:   w.started,
		Menu:        w.menu(),
		SingleInstanceLock: &options.SingleInstanceLock{
			UniqueId:               singleInstance,
			OnSecondInstanceLaunch: func(options.SecondInstanceData) { w.show() },
		},
		// The page is text: it needs no GPU, whose drivers are the most frequent reason for an empty window.
		Linux: &linux.Options{ProgramName: "fairlead", WebviewGpuPolicy: linux.WebviewGpuPolicyNever},
	})
	if err != nil {
		return fmt.Errorf("show the window: %w", err)
	}
	return nil
}

// window is the one window of this process.
type window struct {
	mu  sync.Mutex
	ctx context.Context // of Wails, which finds the window by it; nil until it has started
}

func (w *window) started(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = ctx
}

// do calls an action of Wails, once there is a window to act on.
func (w *window) do(actions ...func(context.Context)) {
	w.mu.Lock()
	ctx := w.ctx
	w.mu.Unlock()
	if ctx == nil {
		return
	}
	for _, action := range actions {
		action(ctx)
	}
}

// show brings the window to the front. It begins anew, because whoever starts Fairlead again may do so since the page
// has lost its daemon.
func (w *window) show() {
	w.do(runtime.WindowUnminimise, runtime.WindowShow, runtime.WindowReloadApp)
}

func (w *window) menu() *menu.Menu {
	bar := menu.NewMenu()
	app := bar.AddSubmenu("Fairlead")
	app.AddText("Reload", keys.CmdOrCtrl("r"), func(*menu.CallbackData) { w.do(runtime.WindowReloadApp) })
	app.AddSeparator()
	app.AddText("Close window", keys.CmdOrCtrl("w"), func(*menu.CallbackData) { w.do(runtime.Quit) })
	bar.Append(menu.EditMenu()) // macOS copies and pastes by it
	return bar
}
