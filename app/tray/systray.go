// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package tray

import (
	"context"
	"reflect"
	"sync"
	"time"

	"fyne.io/systray"
)

// Events are what the desktop tells the program. They are called on goroutines of their own.
type Events struct {
	Clicked func(Action)
	// Opened: somebody looks at the menu.
	Opened func()
	// Present: whether there is a tray that shows the icon. It is called once at the start, and on each change.
	Present func(bool)
}

// Tray shows Views in the tray of the desktop. There is one in a process.
type Tray struct {
	events Events

	mu    sync.Mutex
	ready bool  // the icon is there to be changed
	next  *View // what is to be shown
	shown *View // what is
	menus int   // counts the menus made
}

// Start begins to show, as soon as the desktop has a tray. ctx ends the watch for one; the icon goes with the process.
func Start(ctx context.Context, events Events) *Tray {
	t := &Tray{events: events}
	go func() {
		for {
			select {
			case <-systray.TrayOpenedCh:
				events.Opened()
			case <-ctx.Done():
				return
			}
		}
	}()
	t.start(ctx)
	return t
}

// Show shows a View from now on. It does not block on the desktop.
func (t *Tray) Show(v View) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = &v
	t.redraw()
}

// started is called by the toolkit once the icon is there to be changed.
func (t *Tray) started() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ready = true
	t.redraw()
}

// redraw changes what differs from what is shown, and nothing else: a menu that is open would be closed. t.mu is held.
func (t *Tray) redraw() {
	if !t.ready || t.next == nil {
		return
	}
	v, before := *t.next, View{}
	if t.shown != nil {
		before = *t.shown
	}
	t.shown = &v
	if v.Icon != before.Icon {
		setIcon(v.Icon)
	}
	if v.Tooltip != before.Tooltip {
		systray.SetTooltip(v.Tooltip)
	}
	if !reflect.DeepEqual(v.Menu, before.Menu) {
		systray.ResetMenu()
		t.menus++
		t.addMenu(t.menus, v.Menu)
	}
}

// addMenu adds the items of a menu, and what is below them once the desktop knows these. t.mu is held.
func (t *Tray) addMenu(menu int, items []Item) {
	lines := t.add(nil, items)
	addBelow := func() {
		for i, line := range lines {
			if line != nil {
				t.add(line, items[i].Items)
			}
		}
	}
	if submenusWait == 0 {
		addBelow()
		return
	}
	time.AfterFunc(submenusWait, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.menus == menu {
			addBelow()
		}
	})
}

// add adds items to the menu, or to the submenu of parent. It returns a line for each, nil for a separator.
func (t *Tray) add(parent *systray.MenuItem, items []Item) []*systray.MenuItem {
	lines := make([]*systray.MenuItem, len(items))
	for n, i := range items {
		if i.Separator {
			if parent == nil {
				systray.AddSeparator()
			} else {
				parent.AddSeparator()
			}
			continue
		}
		line := newItem(parent, i)
		if i.Disabled {
			line.Disable()
		}
		lines[n] = line
		go func() {
			for range line.ClickedCh { // closed when the menu is made anew
				go t.events.Clicked(i.Action)
			}
		}()
	}
	return lines
}

func newItem(parent *systray.MenuItem, i Item) *systray.MenuItem {
	switch {
	case parent == nil && i.Checked:
		return systray.AddMenuItemCheckbox(i.Label, "", true)
	case parent == nil:
		return systray.AddMenuItem(i.Label, "")
	}
	return parent.AddSubMenuItem(i.Label, "")
}
