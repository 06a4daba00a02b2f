// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"cmp"
	"fmt"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// Names of what happens. They are stable.
const (
	Connected       = "connected"
	ConnectFailed   = "connect-failed"
	Lost            = "lost"
	Back            = "back"
	Disconnected    = "disconnected"
	CarrierSwitched = "carrier"
	NamesLost       = "dns-lost"
	NamesBack       = "dns-back"
	Namespace       = "namespace"
	ProblemMet      = "problem"
	HelperLost      = "helper-lost"
	HelperBack      = "helper-back"

	InterceptActive     = "intercept-active"
	InterceptLeft       = "intercept-left"
	InterceptDropped    = "intercept-dropped" // it has ended without its owner's doing
	InterceptRefused    = "intercept-refused"
	InterceptSuspended  = "intercept-suspended"
	InterceptResumed    = "intercept-resumed"
	InterceptTaken      = "intercept-taken" // a teammate intercepts the same workload
	InterceptNoListener = "intercept-no-listener"
	InterceptListener   = "intercept-listener"

	GatewayInstalled   = "gateway-installed"
	GatewayUpgraded    = "gateway-upgraded"
	GatewayUninstalled = "gateway-uninstalled"
	GatewayFailed      = "gateway-failed"
	SettingsSaved      = "settings"
)

// State is what events follow from.
type State struct {
	Session session.Status
	// Everyone is who intercepts what in the connected cluster; nil while that is not known.
	Everyone []session.Intercept
	Helper   Condition
}

// Condition is how something is that is asked now and then.
type Condition struct {
	Known   bool
	Problem *problem.Problem
}

// Diff returns what has happened from one State to the next, without IDs and times.
func Diff(before, now State) []Event {
	events := sessionEvents(before.Session, now.Session)
	events = append(events, interceptEvents(before.Session, now.Session)...)
	events = append(events, teammateEvents(before, now)...)
	return append(events, helperEvents(before.Helper, now.Helper)...)
}

// had reports whether there is a connection, be it in trouble.
func had(s session.Status) bool {
	return s.Since != nil && (s.State == session.Connected || s.State == session.Reconnecting)
}

func sessionEvents(before, now session.Status) []Event {
	where := cmp.Or(now.Context, before.Context)
	event := func(name string, level Level, notify bool, format string, args ...any) Event {
		return Event{Kind: Connection, Level: level, Name: name, Notify: notify, Where: where, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case had(before) && now.State == session.Connecting: // another connection in place of it
		return append(sessionEvents(before, session.Status{State: session.Disconnected, Context: before.Context}), sessionEvents(session.Status{State: session.Disconnected}, now)...)
	case now.State == session.Connected && before.State == session.Reconnecting:
		return []Event{event(Back, Good, true, "The connection to %s is back%s.", where, over(now))}
	case now.State == session.Connected && before.State != session.Connected:
		return []Event{event(Connected, Good, true, "Connected to %s, namespace %s%s.", where, now.Namespace, over(now))}
	case now.State == session.Connected:
		return connectedEvents(before, now)
	case now.State == session.Reconnecting && before.State == session.Connected:
		lost := event(Lost, Warning, true, "The connection to %s is lost; it comes back by itself as soon as the cluster can be reached.", where)
		return []Event{withProblem(lost, now.Problem)}
	case now.State == session.Reconnecting && newProblem(before.Problem, now.Problem):
		return []Event{withProblem(event(ProblemMet, Trouble, false, "%s", sentence(now.Problem.Message)), now.Problem)}
	case now.State != session.Disconnected || before.State == session.Disconnected || before.State == "":
		return nil
	case now.Problem != nil && now.Problem.Code == problem.Cancelled:
		return []Event{event(Disconnected, Info, false, "Connecting to %s was cancelled.", where)}
	case now.Problem != nil && before.Since == nil:
		return []Event{withProblem(event(ConnectFailed, Trouble, true, "Connecting to %s failed: %s", where, sentence(now.Problem.Message)), now.Problem)}
	case now.Problem != nil:
		return []Event{withProblem(event(Disconnected, Trouble, true, "Disconnected from %s: %s", where, sentence(now.Problem.Message)), now.Problem)}
	case before.State == session.Connecting || before.State == session.Disconnecting && before.Since == nil:
		return []Event{event(Disconnected, Info, false, "Connecting to %s was stopped; everything is put back.", where)}
	}
	return []Event{event(Disconnected, Info, false, "Disconnected from %s; everything is put back.", where)}
}

// connectedEvents are about a connection that goes on.
func connectedEvents(before, now session.Status) []Event {
	var events []Event
	if from, to := before.Carrier.Active, now.Carrier.Active; from != to && from != "" && to != "" {
		e := Event{Kind: Carrier, Level: Info, Name: CarrierSwitched, Where: now.Context, Text: fmt.Sprintf("Packets travel by %s now, instead of %s.", to, from)}
		if now.Carrier.Reason != "" {
			e.Text = fmt.Sprintf("Packets travel by %s now, instead of %s: %s", to, from, sentence(now.Carrier.Reason))
		}
		events = append(events, e)
	}
	if before.Namespace != now.Namespace && before.Namespace != "" {
		events = append(events, Event{
			Kind: DNS, Level: Info, Name: Namespace, Where: now.Context,
			Text: fmt.Sprintf("Short names resolve in namespace %s now, instead of %s.", now.Namespace, before.Namespace),
		})
	}
	switch {
	case before.DNS.Healthy && !now.DNS.Healthy:
		events = append(events, Event{
			Kind: DNS, Level: Warning, Name: NamesLost, Where: now.Context, Hint: "Addresses work meanwhile.",
			Text: sentence("Names of the cluster do not resolve at the moment: " + cmp.Or(now.DNS.Detail, "no answer")),
		})
	case !before.DNS.Healthy && now.DNS.Healthy:
		events = append(events, Event{Kind: DNS, Level: Good, Name: NamesBack, Where: now.Context, Text: "Names of the cluster resolve again."})
	}
	if newProblem(before.Problem, now.Problem) && now.Problem.Code != problem.DNS {
		events = append(events, withProblem(Event{
			Kind: Connection, Level: Warning, Name: ProblemMet, Where: now.Context, Text: sentence(now.Problem.Message),
		}, now.Problem))
	}
	return events
}

func over(s session.Status) string {
	if s.Carrier.Active == "" {
		return ""
	}
	return ", by " + s.Carrier.Active
}

func newProblem(before, now *problem.Problem) bool {
	return now != nil && (before == nil || before.Code != now.Code)
}

func withProblem(e Event, p *problem.Problem) Event {
	if p != nil {
		e.Hint = p.Hint
	}
	return e
}

func helperEvents(before, now Condition) []Event {
	switch {
	case !before.Known || !now.Known:
		return nil
	case newProblem(before.Problem, now.Problem):
		return []Event{withProblem(Event{Kind: Helper, Level: Trouble, Name: HelperLost, Text: sentence(now.Problem.Message)}, now.Problem)}
	case before.Problem != nil && now.Problem == nil:
		return []Event{{Kind: Helper, Level: Good, Name: HelperBack, Text: "The helper of this machine is ready."}}
	}
	return nil
}
