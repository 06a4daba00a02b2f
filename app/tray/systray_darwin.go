// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package tray

/*
#include <dispatch/dispatch.h>

extern void fairleadTrayBegin(void);
static void begin(void *unused) { fairleadTrayBegin(); }
static void beginOnMainQueue(void) { dispatch_async_f(dispatch_get_main_queue(), NULL, begin); }
*/
import "C"

import (
	"context"
	"log/slog"
	"time"

	"fyne.io/systray"
)

// iconSize is twice the 22 points of the menu bar, for dense screens; the toolkit scales it down.
const iconSize = 44

// begin is what the main queue calls.
var begin func()

//export fairleadTrayBegin
func fairleadTrayBegin() { begin() }

// submenusWait is how long a menu is there before what is below its lines: no time, they are made by this process.
const submenusWait = 0 * time.Second

// start puts the icon into the menu bar from the main thread, as AppKit wants it, once the window's loop runs there. It
// must be called after the application has launched.
func (t *Tray) start(context.Context) {
	begin, _ = systray.RunWithExternalLoop(func() {
		t.started()
		t.events.Present(true)
	}, nil)
	C.beginOnMainQueue()
}

func setIcon(i Icon) {
	template, err := PNG(DrawTemplate(i, iconSize))
	if err != nil {
		slog.Error("no icon", "error", err)
		return
	}
	systray.SetTemplateIcon(template, template)
}
