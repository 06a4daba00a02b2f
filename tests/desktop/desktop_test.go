// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"fmt"
	"image/color"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/app/tray"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// The watchers that a daemon has: the tray, and the page.
const (
	trayOnly    = 1
	trayAndPage = 2
)

// TestStart measures from the start of the process until the screen shows the contexts, with something to click.
func TestStart(t *testing.T) {
	b, _ := startDaemon(t, version)
	var took, computed []time.Duration
	for range 5 {
		w := startWindow(t)
		took = append(took, w.usable(t))
		computed = append(computed, w.processorTime())
		w.seen(t)
		must(t, w.Process.Signal(syscall.SIGTERM))
		if status := w.ends(t); status != 0 {
			t.Errorf("ended with status %d", status)
		}
		b.watched(t, 0)
	}
	slices.Sort(took)
	slices.Sort(computed)
	t.Logf("from the start of the process to a page to use: %v, of which it computes %v", took, computed)
}

// TestTray does all that the menu offers, and looks at the icon meanwhile.
func TestTray(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	icon := w.icon()
	icon.shows(t, tray.Disconnected)
	b.called(t, "check dev")
	here.screenshot(t, "disconnected")

	icon.click(t, "dev")
	b.called(t, "connect dev")
	icon.shows(t, tray.Connected)
	if l := icon.has(t, "dev"); !l.checked || l.enabled {
		t.Errorf("the connected context is %+v", l)
	}
	b.intercept()
	icon.shows(t, tray.Intercepting)
	here.screenshot(t, "intercepting")
	icon.click(t, "pricing:8080 → 3000", "Copy header")
	eventually(t, "the header in the clipboard", func() error {
		if copied, err := here.try("xclip", "-out", "-selection", "clipboard"); err != nil || copied != "x-fairlead: ada" {
			return fmt.Errorf("it has %q, %v", copied, err)
		}
		return nil
	})
	icon.click(t, "pricing:8080 → 3000", "Leave")
	b.called(t, "leave shop/[pricing-ada]")
	icon.shows(t, tray.Connected)

	b.change("", func(s *localapi.Snapshot) { s.Session.State = session.Reconnecting })
	icon.shows(t, tray.Trouble)
	b.change("", func(s *localapi.Snapshot) { s.Session.State = session.Connecting })
	icon.shows(t, tray.Connecting)
	icon.click(t, "Stop connecting")
	b.called(t, "disconnect")
	icon.shows(t, tray.Disconnected)

	icon.click(t, "Quit")
	if status := w.ends(t); status != 0 {
		t.Errorf("ended with status %d", status)
	}
}

// TestClickOnTheIcon opens the menu of the panel with the mouse, and clicks in it.
func TestClickOnTheIcon(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	w.icon().shows(t, tray.Disconnected)
	w.icon().has(t, "staging")
	b.watched(t, trayAndPage)
	clickIcon(t, color.NRGBA{0x7a, 0x83, 0x8f, 0xff})
	here.screenshot(t, "menu")
	// dev is the first that can be chosen, staging the second.
	press(t, "Down", "Down")
	here.tell(t, "key", "Return")
	b.called(t, "connect staging")
	w.icon().shows(t, tray.Connected)
	b.intercept()
	w.icon().shows(t, tray.Intercepting)
	w.icon().has(t, "pricing:8080 → 3000", "Leave")
	clickIcon(t, color.NRGBA{0x8f, 0x55, 0xdc, 0xff})
	press(t, "Down", "Down", "Down", "Right") // Disconnect, dev, the intercept (staging can't be chosen), Copy header
	here.screenshot(t, "menu-intercepting")
	press(t, "Up") // the last: Leave
	here.tell(t, "key", "Return")
	b.called(t, "leave shop/[pricing-ada]")
}

// TestKilledWindow: the window owns nothing.
func TestKilledWindow(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	w.icon().click(t, "dev")
	b.called(t, "connect dev")
	b.watched(t, trayAndPage)
	must(t, w.Process.Kill())
	<-w.ended
	b.watched(t, 0)
	if state := b.Status().State; state != session.Connected {
		t.Errorf("the session is %s", state)
	}
	again := startWindow(t)
	again.icon().shows(t, tray.Connected)
	b.watched(t, trayAndPage)
}

// TestHiddenStart is that of the login: an icon, and no window before somebody asks for it.
func TestHiddenStart(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t, "--hidden")
	w.icon().shows(t, tray.Disconnected)
	b.watched(t, trayOnly)
	if ids := w.xids(); len(ids) > 0 {
		t.Error("there is a window")
	}
	w.icon().click(t, "Doctor")
	w.seen(t)
	b.watched(t, trayAndPage)
	here.screenshot(t, "doctor")
	must(t, w.Process.Signal(syscall.SIGTERM))
	if status := w.ends(t); status != 0 {
		t.Errorf("ended with status %d", status)
	}
	tray := startWindow(t, "--hidden")
	b.watched(t, trayOnly)
	must(t, tray.Process.Signal(syscall.SIGTERM))
	if status := tray.ends(t); status != 0 {
		t.Errorf("the tray alone ended with status %d", status)
	}
}

// TestSecondStart: there is one window, and who starts it again sees it.
func TestSecondStart(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	id := w.seen(t)
	b.watched(t, trayAndPage)
	cover, err := here.start("xmessage", "-geometry", "1200x800+10+40", "something else")
	must(t, err)
	defer cover.Process.Kill()
	eventually(t, "another window in front", func() error {
		if now, err := here.try("xdotool", "getactivewindow"); err != nil || now == id {
			return fmt.Errorf("%s is (%v)", now, err)
		}
		return nil
	})
	second := startWindow(t)
	if status := second.ends(t); status != 0 {
		t.Errorf("the second start ended with status %d", status)
	}
	w.active(t, id)

	w.close(t) // to the tray
	w.unseen(t)
	startWindow(t).ends(t)
	w.active(t, w.seen(t))
	b.watched(t, trayAndPage)
}

// TestClosing: with a tray it hides, without one it ends, and the tray may come and go.
func TestClosing(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	icon := w.icon()
	icon.shows(t, tray.Disconnected)
	icon.click(t, "dev")
	b.watched(t, trayAndPage)
	w.close(t)
	w.unseen(t)
	icon.click(t, "Open Fairlead")
	w.seen(t)

	here.endPanel(t)
	must(t, here.startPanel())
	eventually(t, "the icon in the new panel", func() error {
		var items []string
		v, err := here.bus.Object("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher").GetProperty("org.kde.StatusNotifierWatcher.RegisteredStatusNotifierItems")
		if err != nil {
			return err
		}
		if err := v.Store(&items); err != nil || len(items) == 0 {
			return fmt.Errorf("it has %v, %v", items, err)
		}
		return nil
	})
	w.close(t)
	w.unseen(t)
	icon.click(t, "Open Fairlead")
	w.seen(t)

	here.endPanel(t)
	defer func() { must(t, here.startPanel()) }()
	w.close(t)
	if status := w.ends(t); status != 0 {
		t.Errorf("ended with status %d", status)
	}
	if state := b.Status().State; state != session.Connected {
		t.Errorf("the session is %s", state)
	}
}

// TestSigtermWhereClosingHides: what ends a session of the desktop must not be taken for the window's button.
func TestSigtermWhereClosingHides(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	w.icon().shows(t, tray.Disconnected)
	b.watched(t, trayAndPage)
	w.close(t)
	w.unseen(t)
	must(t, w.Process.Signal(syscall.SIGTERM))
	if status := w.ends(t); status != 0 {
		t.Errorf("ended with status %d", status)
	}
}

func TestPlaceIsRemembered(t *testing.T) {
	b, _ := startDaemon(t, version)
	w := startWindow(t)
	b.watched(t, trayAndPage)
	id := w.seen(t)
	here.tell(t, "windowsize", "--sync", id, "700", "560")
	here.tell(t, "windowmove", "--sync", id, "333", "222")
	want := geometry(t, id)
	w.icon().click(t, "Quit")
	w.ends(t)
	b.watched(t, 0)

	again := startWindow(t)
	b.watched(t, trayAndPage)
	eventually(t, "the window where it was", func() error {
		if got := geometry(t, again.seen(t)); !maps.Equal(got, want) {
			return fmt.Errorf("it is at %v, not %v", got, want)
		}
		return nil
	})
}

func TestNotifications(t *testing.T) {
	here.news.forget()
	b, _ := startDaemon(t, version)
	b.tell(localapi.Event{Kind: activity.Connection, Name: activity.Lost, Text: "old news"})
	w := startWindow(t)
	b.watched(t, trayAndPage)
	w.icon().click(t, "dev")
	connected := here.news.titled(t, "Connected")
	if connected.text != "Connected to dev &lt;by udp&gt;." || connected.app != "Fairlead" || !slices.Contains(connected.actions, "Open") {
		t.Errorf("%+v", connected)
	}
	b.tell(localapi.Event{Kind: activity.Intercept, Level: activity.Warning, Name: activity.InterceptTaken, Text: "grace intercepts shop/pricing, too.", Where: "shop/pricing"})
	b.tell(localapi.Event{Kind: activity.Intercept, Level: activity.Warning, Name: activity.InterceptDropped, Text: "The intercept of shop/pricing has ended.", Where: "shop/pricing"})
	taken := here.news.titled(t, "A teammate intercepts it, too")
	dropped := here.news.titled(t, "Intercept ended")
	if dropped.replaces != taken.id {
		t.Errorf("%+v stays beside %+v", taken, dropped)
	}
	b.tell(localapi.Event{Kind: activity.Connection, Level: activity.Warning, Name: activity.Lost, Text: "The connection to dev is lost."})
	lost := here.news.titled(t, "Connection lost")
	if lost.text == "old news" || lost.replaces != connected.id {
		t.Errorf("%+v", lost)
	}
	w.close(t)
	w.unseen(t)
	here.news.click(t, dropped, "open")
	w.active(t, w.seen(t))

	here.news.forget()
	b.change("", func(s *localapi.Snapshot) {
		s.Settings.Quiet, s.Session.State = true, session.Reconnecting
		s.Activity = slices.Insert(s.Activity, 0, localapi.Event{ID: 100, Name: activity.Back, Text: "The connection to dev is back.", Notify: true})
	})
	w.icon().shows(t, tray.Trouble) // so it was seen
	b.change("", func(s *localapi.Snapshot) { s.Settings.Quiet = false })
	b.tell(localapi.Event{Kind: activity.Connection, Level: activity.Trouble, Name: activity.ConnectFailed, Text: "Connecting to dev failed."})
	here.news.titled(t, "Could not connect")
	if all := here.news.list(); len(all) != 1 {
		t.Errorf("while it was to be quiet: %v", all)
	}
}

// TestLinks opens the dialog of an intercept, in a window that is there and in one that starts.
func TestLinks(t *testing.T) {
	b, _ := startDaemon(t, version)
	must(t, b.Connect(t.Context(), localapi.ConnectRequest{Context: "dev"}))
	w := startWindow(t, "fairlead://intercept?namespace=shop&workload=pricing")
	b.watched(t, trayAndPage)
	b.called(t, "preview shop/pricing")
	here.screenshot(t, "link")
	startWindow(t, "fairlead://intercept?namespace=shop&workload=ledger").ends(t)
	b.called(t, "preview shop/ledger")
	here.news.forget()
	startWindow(t, "fairlead://intercept?workload=pricing&all=true").ends(t)
	here.news.titled(t, "The link did not work")
	w.seen(t)
}

// TestDaemonIsStarted: where there is none, where it goes, and where an upgrade has left an old one.
func TestDaemonIsStarted(t *testing.T) {
	_, end := startDaemon(t, "0.0.9") // the window replaces it, because nobody uses it
	w := startWindow(t)
	client := localapi.NewClient(here.socket())
	defer client.Close()
	defer func() { _ = client.Quit(t.Context()) }()
	running := func(not int) (pid int) {
		eventually(t, "a daemon of this version", func() error {
			v, err := client.Version(t.Context())
			if err != nil || v.Version != version || v.PID == not {
				return fmt.Errorf("%+v, %v", v, err)
			}
			pid = v.PID
			return nil
		})
		return pid
	}
	first := running(0)
	end()
	w.seen(t)
	w.icon().has(t, "No context in the kubeconfig")
	here.screenshot(t, "own-daemon")
	must(t, syscall.Kill(first, syscall.SIGKILL))
	running(first)
	w.icon().has(t, "No context in the kubeconfig")
	here.screenshot(t, "daemon-again")
}
