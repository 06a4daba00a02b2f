// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"cmp"
	"fmt"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/app/tray"
	"github.com/fairlead-dev/fairlead/backend/activity"
)

// mostNews is how many notifications come of one snapshot.
const mostNews = 3

// Notification is something to tell the user outside the window.
type Notification struct {
	Title string
	Text  string
	// Page is what a click on it opens in the window.
	Page string
	// Topic is replaced: of two notifications on one topic only the later one stays.
	Topic string
	// Urgent is for what does not work.
	Urgent bool
}

// Notifier shows notifications. Its methods may be called at the same time.
type Notifier interface {
	// Notify shows a notification. What the user clicks on comes to whoever made the Notifier.
	Notify(n Notification) error
	Close()
}

// News tells what is new in snapshots. The zero value is ready.
type News struct {
	daemon time.Time // start of the daemon that last is of; zero before the first
	last   uint64    // ID of the last event that was told
}

// Of returns the notifications that a snapshot asks for, the oldest first. What happened before the first snapshot is no
// news; all that another daemon tells is.
func (n *News) Of(s localapi.Snapshot) []Notification {
	first := n.daemon.IsZero()
	if !n.daemon.Equal(s.Daemon.Started) {
		n.daemon, n.last = s.Daemon.Started, 0
	}
	var told []Notification
	last := n.last
	for _, event := range s.Activity {
		last = max(last, event.ID)
		if event.ID > n.last && event.Notify && !first && !s.Settings.Quiet && len(told) < mostNews {
			told = append([]Notification{notificationOf(event)}, told...) // events come with the newest first
		}
	}
	n.last = last
	return told
}

func notificationOf(e localapi.Event) Notification {
	title := titles[e.Name]
	page := tray.PageActivity
	topic := string(e.Kind)
	switch e.Kind {
	case activity.Connection, activity.Gateway:
		page = tray.PageClusters
	case activity.Intercept:
		page = tray.PageIntercepts
		topic += " " + e.Where
	}
	text := e.Text
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return Notification{Title: cmp.Or(title, "Fairlead"), Text: text, Page: page, Topic: topic, Urgent: e.Level == activity.Trouble}
}

// titles are what a notification says at a glance, by the names of events. Others have the name of the program.
var titles = map[string]string{
	activity.Connected:           "Connected",
	activity.ConnectFailed:       "Could not connect",
	activity.Lost:                "Connection lost",
	activity.Back:                "Connected again",
	activity.Disconnected:        "Disconnected",
	activity.InterceptActive:     "Intercept active",
	activity.InterceptDropped:    "Intercept ended",
	activity.InterceptRefused:    "Intercept refused",
	activity.InterceptSuspended:  "Intercept suspended",
	activity.InterceptResumed:    "Intercept active again",
	activity.InterceptTaken:      "A teammate intercepts it, too",
	activity.InterceptNoListener: "Your program does not answer",
}

// failure is the notification of a click in the tray that did not come to what it was meant to.
func failure(what string, err error) Notification {
	p := problemOf(err)
	text := p.Message
	if p.Hint != "" {
		text += "\n" + p.Hint
	}
	return Notification{Title: fmt.Sprintf("%s did not work", what), Text: text, Page: tray.PageActivity, Topic: "click", Urgent: true}
}
