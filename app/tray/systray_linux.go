// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package tray

import (
	"context"
	"image"
	"image/color"
	"log/slog"
	"time"

	"fyne.io/systray"
	"github.com/godbus/dbus/v5"
)

// The tray of Linux desktops is the StatusNotifierItem specification of freedesktop.org: a watcher knows the icons, and
// the hosts, which are panels, show them.
const (
	watcherName = "org.kde.StatusNotifierWatcher"
	watcherPath = "/StatusNotifierWatcher"
)

// iconSize is in pixels. The toolkit sends one size, and panels scale it: half of it is the smallest in use.
const iconSize = 32

// submenusWait is how long a menu is there before what is below its lines. The menus of GTK panels (libdbusmenu) are made
// of answers that may name a line before the one that it is below; then they drop it, and the submenu stays empty. A panel
// needs three rounds to know a line: the layout, its properties, and what it makes of them.
const submenusWait = 300 * time.Millisecond

// start follows the desktop's tray, which comes and goes with the panel. Without D-Bus there is none. The toolkit is
// started when a tray is first there, and registers again by itself when one comes back; it is never told to end,
// because its end panics where it has no connection.
func (t *Tray) start(ctx context.Context) {
	go func() {
		conn, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
		if err != nil {
			slog.Info("no tray", "error", err)
			t.events.Present(false)
			return
		}
		defer conn.Close()
		signals := make(chan *dbus.Signal, 16)
		conn.Signal(signals)
		for _, options := range [][]dbus.MatchOption{
			{dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, watcherName)},
			{dbus.WithMatchInterface(watcherName), dbus.WithMatchObjectPath(watcherPath)},
		} {
			if err := conn.AddMatchSignal(options...); err != nil {
				slog.Warn("the tray is not followed", "error", err)
			}
		}
		t.follow(ctx, conn, signals)
	}()
}

func (t *Tray) follow(ctx context.Context, conn *dbus.Conn, signals <-chan *dbus.Signal) {
	there, told, running := false, false, false
	for {
		now := hasHost(conn)
		if now && !running {
			running = true
			systray.SetTitle("Fairlead")
			begin, _ := systray.RunWithExternalLoop(nil, nil)
			begin() // what is shown meanwhile can get lost, so that nothing is before it has returned
			t.started()
		}
		if now != there || !told {
			there, told = now, true
			t.events.Present(now)
		}
		select {
		case _, ok := <-signals:
			if !ok {
				t.events.Present(false)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// hasHost reports whether a panel shows icons.
func hasHost(conn *dbus.Conn) bool {
	var owned bool
	if conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, watcherName).Store(&owned) != nil || !owned {
		return false
	}
	host, err := conn.Object(watcherName, watcherPath).GetProperty(watcherName + ".IsStatusNotifierHostRegistered")
	if err != nil {
		return true // a watcher that does not say is the panel itself
	}
	registered, ok := host.Value().(bool)
	return registered || !ok
}

func setIcon(i Icon) {
	content, err := PNG(straight(Draw(i, iconSize)))
	if err != nil {
		slog.Error("no icon", "error", err)
		return
	}
	systray.SetIcon(content)
}

// straight makes a picture of which the toolkit sends straight alpha, as panels read it. It takes the lower bytes of
// premultiplied 16-bit colours, which are noise at the edges of any other picture; the upper bytes are as they should be.
func straight(picture *image.NRGBA) image.Image {
	out := image.NewNRGBA64(picture.Rect)
	for y := range picture.Rect.Dy() {
		for x := range picture.Rect.Dx() {
			c := picture.NRGBAAt(x, y)
			if c.A == 0 {
				continue
			}
			alpha := uint32(c.A) * 0x101
			channel := func(v uint8) uint16 {
				upper := uint32(v) * uint32(c.A) / 0xff
				if upper<<8|uint32(v) > alpha {
					upper--
				}
				return uint16(((upper<<8|uint32(v))*0xffff + alpha - 1) / alpha) // what multiplies to it
			}
			out.SetNRGBA64(x, y, color.NRGBA64{channel(c.R), channel(c.G), channel(c.B), uint16(alpha)})
		}
	}
	return out
}
