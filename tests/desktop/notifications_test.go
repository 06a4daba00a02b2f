// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

const notificationsName = "org.freedesktop.Notifications"

// notifications is a service of the desktop that only remembers.
type notifications struct {
	bus *dbus.Conn

	mu   sync.Mutex
	last uint32
	all  []notification
}

type notification struct {
	id          uint32
	app, icon   string
	title, text string
	actions     []string
	replaces    uint32
}

func serveNotifications(bus *dbus.Conn) (*notifications, error) {
	n := &notifications{bus: bus}
	if err := bus.Export(n, "/org/freedesktop/Notifications", notificationsName); err != nil {
		return nil, err
	}
	reply, err := bus.RequestName(notificationsName, dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("somebody else has %s", notificationsName)
	}
	return n, err
}

// Notify is a method of the service.
func (n *notifications) Notify(app string, replaces uint32, icon, title, text string, actions []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := replaces
	if id == 0 {
		n.last++
		id = n.last
	}
	n.all = append(n.all, notification{id, app, icon, title, text, actions, replaces})
	return id, nil
}

// GetCapabilities is a method of the service.
func (n *notifications) GetCapabilities() ([]string, *dbus.Error) {
	return []string{"actions", "body", "body-markup"}, nil
}

// titled waits for a notification.
func (n *notifications) titled(t *testing.T, title string) notification {
	t.Helper()
	var found notification
	eventually(t, "the notification "+title, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		at := slices.IndexFunc(n.all, func(one notification) bool { return one.title == title })
		if at < 0 {
			return fmt.Errorf("there are %v", n.all)
		}
		found = n.all[at]
		return nil
	})
	return found
}

// click does what a person does with a notification.
func (n *notifications) click(t *testing.T, one notification, action string) {
	t.Helper()
	must(t, n.bus.Emit("/org/freedesktop/Notifications", notificationsName+".ActionInvoked", one.id, action))
}

func (n *notifications) list() []notification {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

func (n *notifications) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = nil
}
