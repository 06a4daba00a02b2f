// SPDX-License-Identifier: Apache-2.0

package tray

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// Icon is what the icon says.
type Icon string

const (
	Disconnected Icon = "disconnected"
	Connecting   Icon = "connecting"
	Connected    Icon = "connected"
	Intercepting Icon = "intercepting"
	Trouble      Icon = "trouble"
)

// Icons are all there are.
func Icons() []Icon { return []Icon{Disconnected, Connecting, Connected, Intercepting, Trouble} }

// Do is what a click on an item asks for.
type Do string

const (
	Nothing    Do = ""
	Connect    Do = "connect"    // to Action.Context
	Disconnect Do = "disconnect" // also: give up connecting
	Leave      Do = "leave"      // the intercept Action.Name in Action.Namespace
	Copy       Do = "copy"       // Action.Text to the clipboard
	Open       Do = "open"       // the window, at Action.Page
	Quit       Do = "quit"       // the window and the tray; the connection stays
)

// Pages of the window that the menu leads to, as the page itself calls them.
const (
	PageClusters   = "/clusters"
	PageIntercepts = "/intercepts"
	PageActivity   = "/activity"
	PageDoctor     = "/doctor"
)

// Action is what a click asks for, and of what.
type Action struct {
	Do        Do
	Context   string
	Name      string // of an intercept
	Namespace string
	Text      string
	Page      string
}

// Item is one line of the menu.
type Item struct {
	Label     string
	Action    Action
	Checked   bool
	Disabled  bool
	Separator bool
	Items     []Item // of a submenu
}

// View is all that the tray shows.
type View struct {
	Icon    Icon
	Tooltip string
	Menu    []Item
}

// State is what a View is made of.
type State struct {
	// Snapshot is the daemon's last word; nil while it does not answer.
	Snapshot *localapi.Snapshot
	// Contexts are those of the kubeconfig.
	Contexts []localapi.Context
}

const (
	// mostContexts and mostIntercepts are how many lines of each the menu has; the window has all of them.
	mostContexts   = 12
	mostIntercepts = 8
	// mostText bounds a line, in characters: panels do not break lines.
	mostText = 60
)

// Show says what the tray shows.
func Show(s State) View {
	open := Item{Label: "Open Fairlead", Action: Action{Do: Open}}
	if s.Snapshot == nil {
		return View{Icon: Connecting, Tooltip: "Fairlead: starting its background program", Menu: []Item{
			{Label: "Starting…", Disabled: true}, separator, open, separator, quit(false),
		}}
	}
	status := s.Snapshot.Session
	menu := []Item{{Label: short(headline(status)), Disabled: true}}
	menu = append(menu, troubles(s.Snapshot.Problems)...)
	switch status.State {
	case session.Connected, session.Reconnecting:
		menu = append(menu, Item{Label: "Disconnect", Action: Action{Do: Disconnect}})
	case session.Connecting:
		menu = append(menu, Item{Label: "Stop connecting", Action: Action{Do: Disconnect}})
	}
	menu = append(menu, group(contexts(status, s.Contexts))...)
	menu = append(menu, group(intercepts(living(status.Intercepts)))...)
	menu = append(menu, separator, open, Item{Label: "Doctor", Action: Action{Do: Open, Page: PageDoctor}}, separator, quit(isUp(status)))
	return View{Icon: icon(s.Snapshot), Tooltip: tooltip(s.Snapshot), Menu: menu}
}

var separator = Item{Separator: true}

// group puts a separator before items, if there are any.
func group(items []Item) []Item {
	if len(items) == 0 {
		return nil
	}
	return append([]Item{separator}, items...)
}

// quit ends the window and the tray. It never ends the connection, which other faces may be using; the line says so.
func quit(connected bool) Item {
	label := "Quit"
	if connected {
		label = "Quit (stays connected)"
	}
	return Item{Label: label, Action: Action{Do: Quit}}
}

// isUp reports whether there is a connection to lose.
func isUp(s localapi.Status) bool {
	return s.State == session.Connected || s.State == session.Reconnecting
}

func icon(s *localapi.Snapshot) Icon {
	switch {
	case s.Session.State == session.Connecting, s.Session.State == session.Disconnecting:
		return Connecting
	case s.Session.State == session.Reconnecting, s.Session.Problem != nil, len(s.Problems) > 0:
		return Trouble
	case s.Session.State == session.Connected && len(living(s.Session.Intercepts)) > 0:
		return Intercepting
	case s.Session.State == session.Connected:
		return Connected
	}
	return Disconnected
}

// headline says in one line how the session is.
func headline(s localapi.Status) string {
	switch s.State {
	case session.Connected:
		return "Connected to " + place(s)
	case session.Connecting:
		return "Connecting to " + place(s) + "…"
	case session.Reconnecting:
		return "Reconnecting to " + place(s) + "…"
	case session.Disconnecting:
		return "Disconnecting…"
	}
	return "Not connected"
}

func place(s localapi.Status) string {
	switch {
	case s.Context == "":
		return "the cluster"
	case s.Namespace == "":
		return s.Context
	}
	return s.Context + " · " + s.Namespace
}

func tooltip(s *localapi.Snapshot) string {
	text := "Fairlead: " + lower(headline(s.Session))
	if n := len(living(s.Session.Intercepts)); n > 0 && isUp(s.Session) {
		text += ", " + count(n, "intercept")
	}
	if n := len(s.Problems); n > 0 {
		text += "\n" + s.Problems[0].Problem.Message
	} else if s.Session.Problem != nil {
		text += "\n" + s.Session.Problem.Message
	}
	return text
}

// troubles is the worst problem, and leads to all of them.
func troubles(all []localapi.Trouble) []Item {
	if len(all) == 0 {
		return nil
	}
	return []Item{{Label: short("⚠ " + all[0].Problem.Message), Action: Action{Do: Open, Page: PageActivity}}}
}

// contexts are what can be connected to with one click.
func contexts(status localapi.Status, all []localapi.Context) []Item {
	var items []Item
	busy := status.State == session.Connecting || status.State == session.Disconnecting
	for _, c := range inOrder(status, all) {
		if len(items) == mostContexts {
			items = append(items, Item{Label: "More contexts…", Action: Action{Do: Open, Page: PageClusters}})
			break
		}
		here := c.Name == status.Context && status.State != session.Disconnected
		items = append(items, Item{
			Label: short(c.Name), Checked: here && isUp(status), Disabled: busy || here,
			Action: Action{Do: Connect, Context: c.Name},
		})
	}
	if len(all) == 0 {
		items = append(items, Item{Label: "No context in the kubeconfig", Disabled: true})
	}
	return items
}

// inOrder keeps the order of the kubeconfig, but for what must be among the first: the connected context, then the
// kubeconfig's current one.
func inOrder(status localapi.Status, all []localapi.Context) []localapi.Context {
	if len(all) <= mostContexts {
		return all
	}
	sorted := slices.Clone(all)
	rank := func(c localapi.Context) int {
		switch {
		case c.Name == status.Context && status.State != session.Disconnected:
			return 0
		case c.Current:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(sorted, func(a, b localapi.Context) int { return rank(a) - rank(b) })
	return sorted
}

// living are intercepts without those that have ended, which are shown elsewhere for a while.
func living(all []localapi.Intercept) []localapi.Intercept {
	return slices.DeleteFunc(slices.Clone(all), func(i localapi.Intercept) bool { return i.Phase == session.InterceptEnded })
}

// intercepts are those of this laptop, each with what is asked for most.
func intercepts(all []localapi.Intercept) []Item {
	var items []Item
	for _, i := range all {
		if len(items) == mostIntercepts {
			items = append(items, Item{Label: "More intercepts…", Action: Action{Do: Open, Page: PageIntercepts}})
			break
		}
		var sub []Item
		if i.Header != "" {
			sub = append(sub, Item{Label: "Copy header", Action: Action{Do: Copy, Text: i.Header}})
		}
		if i.Curl != "" {
			sub = append(sub, Item{Label: "Copy curl command", Action: Action{Do: Copy, Text: i.Curl}})
		}
		sub = append(sub,
			Item{Label: "Show requests", Action: Action{Do: Open, Page: PageIntercepts}},
			Item{Label: "Leave", Action: Action{Do: Leave, Name: i.Name, Namespace: i.Namespace}})
		items = append(items, Item{Label: short(describe(i)), Items: sub})
	}
	return items
}

// describe says what of whom goes where, such as "api:8080 → 3000".
func describe(i localapi.Intercept) string {
	text := i.Workload.Name
	if len(i.Ports) > 0 {
		text += ":" + strconv.Itoa(i.Ports[0].Port)
		if local := i.Ports[0].Local; local != "" {
			text += " → " + strings.TrimPrefix(local, "127.0.0.1:")
		}
		if more := len(i.Ports) - 1; more > 0 {
			text += fmt.Sprintf(" +%d", more)
		}
	}
	switch {
	case i.Phase != "" && i.Phase != "Active":
		text += " (" + lower(i.Phase) + ")"
	case i.All:
		text += " (all)"
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func lower(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// short cuts a text that is too long for a line, and keeps it one line.
func short(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= mostText {
		return string(runes)
	}
	return string(runes[:mostText-1]) + "…"
}
