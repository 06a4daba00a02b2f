// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package tray

import (
	"context"
	"image"
	"log/slog"
	"runtime"
	"time"

	"fyne.io/systray"
)

// submenusWait is how long a menu is there before what is below its lines: no time, they are made by this process.
const submenusWait = 0 * time.Second

// start runs the tray on a thread of its own: Windows delivers the messages of a window to the thread that made it.
func (t *Tray) start(context.Context) {
	go func() {
		runtime.LockOSThread()
		systray.Run(func() {
			t.started()
			t.events.Present(true)
		}, nil)
	}()
}

func setIcon(i Icon) {
	var sizes []image.Image
	for _, size := range []int{16, 20, 24, 32, 48} { // of the notification area, by the scale of the screen
		sizes = append(sizes, Draw(i, size))
	}
	content, err := ICO(sizes...)
	if err != nil {
		slog.Error("no icon", "error", err)
		return
	}
	systray.SetIcon(content)
}
