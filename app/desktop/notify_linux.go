// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"fmt"
	"html"
	"slices"
	"sync"

	"github.com/godbus/dbus/v5"
)

// Names of the Desktop Notifications Specification, version 1.2.
const (
	notificationsName      = "org.freedesktop.Notifications"
	notificationsPath      = "/org/freedesktop/Notifications"
	notificationsInterface = "org.freedesktop.Notifications"
	// desktopEntry is the name of the program's .desktop file, by which desktops find its name and icon.
	desktopEntry = "fairlead"
)

// busNotifier shows notifications by D-Bus.
type busNotifier struct {
	conn    *dbus.Conn
	clicked func(page string)

	mu     sync.Mutex
	markup *bool             // whether the text is markup; nil before that was asked
	topics map[string]uint32 // what is shown of each topic
	shown  map[uint32]Notification
}

// NewNotifier shows notifications on the desktop's own service. clicked gets the page of the one that the user clicked on.
func NewNotifier(clicked func(page string)) (Notifier, error) {
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		return nil, fmt.Errorf("connect to the session's D-Bus: %w", err)
	}
	n := &busNotifier{conn: conn, clicked: clicked, topics: map[string]uint32{}, shown: map[uint32]Notification{}}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	err = conn.AddMatchSignal(dbus.WithMatchObjectPath(notificationsPath), dbus.WithMatchInterface(notificationsInterface))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen to notifications: %w", err)
	}
	go n.listen(signals)
	return n, nil
}

func (n *busNotifier) Close() { n.conn.Close() }

func (n *busNotifier) Notify(note Notification) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	object := n.conn.Object(notificationsName, notificationsPath)
	urgency := byte(1) // normal
	if note.Urgent {
		urgency = 2 // critical: some desktops keep it until it is seen
	}
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency), "desktop-entry": dbus.MakeVariant(desktopEntry)}
	var id uint32
	const expires = int32(-1) // as the desktop has it
	err := object.Call(notificationsInterface+".Notify", 0, "Fairlead", n.topics[note.Topic], desktopEntry, note.Title, n.body(note.Text),
		[]string{"default", "Open", "open", "Open"}, hints, expires).Store(&id)
	if err != nil {
		return fmt.Errorf("show a notification: %w", err)
	}
	n.topics[note.Topic], n.shown[id] = id, note
	return nil
}

// body is the text as the service wants it: some read markup in it.
func (n *busNotifier) body(text string) string {
	if n.markup == nil {
		var able []string
		err := n.conn.Object(notificationsName, notificationsPath).Call(notificationsInterface+".GetCapabilities", 0).Store(&able)
		if err != nil {
			return html.EscapeString(text)
		}
		markup := slices.Contains(able, "body-markup")
		n.markup = &markup
	}
	if *n.markup {
		return html.EscapeString(text)
	}
	return text
}

func (n *busNotifier) listen(signals <-chan *dbus.Signal) {
	for signal := range signals {
		if len(signal.Body) == 0 {
			continue
		}
		id, ok := signal.Body[0].(uint32)
		if !ok {
			continue
		}
		n.mu.Lock()
		note, ours := n.shown[id]
		if signal.Name == notificationsInterface+".NotificationClosed" {
			delete(n.shown, id)
			if n.topics[note.Topic] == id {
				delete(n.topics, note.Topic)
			}
		}
		n.mu.Unlock()
		if ours && signal.Name == notificationsInterface+".ActionInvoked" {
			n.clicked(note.Page)
		}
	}
}
