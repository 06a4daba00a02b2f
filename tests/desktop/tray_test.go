// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"bytes"
	"fmt"
	"image"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fairlead-dev/fairlead/app/tray"
)

// trayIcon is the icon of a window process, as panels reach it (StatusNotifierItem, and com.canonical.dbusmenu).
type trayIcon struct {
	bus  *dbus.Conn
	name string
}

// line is one of a menu.
type line struct {
	id      int32
	label   string
	enabled bool
	checked bool
	lines   []line
}

func (i trayIcon) property(name string, value any) error {
	v, err := i.bus.Object(i.name, "/StatusNotifierItem").GetProperty("org.kde.StatusNotifierItem." + name)
	if err != nil {
		return err
	}
	return v.Store(value)
}

// shows waits for an icon.
func (i trayIcon) shows(t *testing.T, want tray.Icon) {
	t.Helper()
	drawn := tray.Draw(want, 32)
	eventually(t, "the icon "+string(want), func() error {
		var pictures []struct {
			Width, Height int32
			Pixels        []byte
		}
		if err := i.property("IconPixmap", &pictures); err != nil {
			return err
		}
		if len(pictures) != 1 || pictures[0].Width != 32 || !bytes.Equal(pictures[0].Pixels, argb(drawn)) {
			var tooltip string
			_ = i.property("Title", &tooltip)
			return fmt.Errorf("there is another; %s", tooltip)
		}
		return nil
	})
}

// argb is how panels want pictures: straight alpha, in network byte order.
func argb(picture *image.NRGBA) []byte {
	var pixels []byte
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			c := picture.NRGBAAt(x, y)
			pixels = append(pixels, c.A, c.R, c.G, c.B)
		}
	}
	return pixels
}

func (i trayIcon) menu() ([]line, error) {
	var revision uint32
	var layout node
	call := i.bus.Object(i.name, "/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{})
	if err := call.Store(&revision, &layout); err != nil {
		return nil, err
	}
	return linesOf(layout)
}

type node struct {
	ID         int32
	Properties map[string]dbus.Variant
	Children   []dbus.Variant
}

func linesOf(parent node) ([]line, error) {
	var lines []line
	for _, child := range parent.Children {
		var n node
		if err := dbus.Store([]any{child.Value()}, &n); err != nil {
			return nil, err
		}
		label, _ := n.Properties["label"].Value().(string)
		enabled, ok := n.Properties["enabled"].Value().(bool)
		state, _ := n.Properties["toggle-state"].Value().(int32)
		below, err := linesOf(n)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line{n.ID, label, enabled || !ok, state == 1, below})
	}
	return lines, nil
}

// find returns the line at a path of labels.
func find(lines []line, path ...string) (line, error) {
	for _, l := range lines {
		if l.label != path[0] {
			continue
		}
		if len(path) == 1 {
			return l, nil
		}
		return find(l.lines, path[1:]...)
	}
	return line{}, fmt.Errorf("no line %q in %s", strings.Join(path, " > "), describe(lines))
}

func describe(lines []line) string {
	var labels []string
	for _, l := range lines {
		labels = append(labels, fmt.Sprintf("%q", l.label))
	}
	return strings.Join(labels, ", ")
}

// has waits for a line of the menu.
func (i trayIcon) has(t *testing.T, path ...string) line {
	t.Helper()
	var found line
	eventually(t, "a line of the menu", func() error {
		lines, err := i.menu()
		if err != nil {
			return err
		}
		found, err = find(lines, path...)
		return err
	})
	return found
}

// click clicks on a line of the menu, as a panel tells it.
func (i trayIcon) click(t *testing.T, path ...string) {
	t.Helper()
	l := i.has(t, path...)
	if !l.enabled {
		t.Fatalf("%q can't be clicked", l.label)
	}
	call := i.bus.Object(i.name, "/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.Event", 0, l.id, "clicked", dbus.MakeVariant(""), uint32(0))
	must(t, call.Err)
}
