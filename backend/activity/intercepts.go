// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead-dev/fairlead/backend/session"
)

// interceptEvents are about the intercepts of this laptop. While the connection itself comes or goes, that is said
// instead.
func interceptEvents(before, now session.Status) []Event {
	var events []Event
	for _, i := range now.Intercepts {
		was, known := find(before.Intercepts, i.ID)
		events = append(events, phaseEvents(was, known, i, before, now)...)
		if known && now.State == session.Connected && i.Phase == session.InterceptActive {
			events = append(events, listenerEvents(was, i)...)
		} else if i.Phase == session.InterceptActive && now.State == session.Connected {
			events = append(events, listenerEvents(allListening(i), i)...)
		}
	}
	if now.State != session.Connected {
		return events
	}
	for _, i := range before.Intercepts {
		if _, still := find(now.Intercepts, i.ID); !still && i.Phase != session.InterceptEnded {
			events = append(events, left(i))
		}
	}
	return events
}

func left(i session.Intercept) Event {
	return about(i, InterceptLeft, Info, false, "%s is no longer intercepted by this laptop; everything is put back.", name(i))
}

func phaseEvents(was session.Intercept, known bool, i session.Intercept, before, now session.Status) []Event {
	switch {
	case known && was.Phase == i.Phase:
		return nil
	case i.Phase == session.InterceptEnded && now.State != session.Connected: // with the connection, which says so
		return nil
	case i.Phase == session.InterceptEnded && i.Leaving:
		return []Event{left(i)}
	case i.Phase == session.InterceptEnded:
		return []Event{about(i, InterceptDropped, Warning, true, "The intercept of %s has ended: %s", name(i), sentence(cmp.Or(i.Message, "it is no more")))}
	case i.Phase == session.InterceptRefused:
		return []Event{about(i, InterceptRefused, Trouble, true, "The intercept of %s is refused: %s", name(i), sentence(cmp.Or(i.Message, "the gateway does not say why")))}
	case now.State != session.Connected:
		return nil
	case i.Phase == session.InterceptActive && known && was.Phase == session.InterceptSuspended:
		return []Event{about(i, InterceptResumed, Good, before.State == session.Connected, "%s is intercepted by this laptop again.", name(i))}
	case i.Phase == session.InterceptActive:
		return []Event{about(i, InterceptActive, Good, true, "%s is intercepted: %s.", name(i), destination(i))}
	case i.Phase == session.InterceptSuspended && before.State == session.Connected:
		return []Event{about(i, InterceptSuspended, Warning, true, "The intercept of %s is suspended; the app gets the requests: %s", name(i), sentence(cmp.Or(i.Message, "the gateway does not reach this laptop")))}
	}
	return nil
}

// listenerEvents are about the programs that are to get the requests.
func listenerEvents(was, i session.Intercept) []Event {
	var events []Event
	for n, port := range i.Ports {
		if n >= len(was.Ports) || was.Ports[n].Listening == port.Listening {
			continue
		}
		if port.Listening {
			events = append(events, about(i, InterceptListener, Good, false, "A program listens on %s now; it gets the requests of %s.", port.Local, name(i)))
			continue
		}
		e := about(i, InterceptNoListener, Warning, true, "Nothing listens on %s; the app in the cluster gets the requests of %s meanwhile.", port.Local, name(i))
		e.Hint = "Start your program, or choose another port."
		events = append(events, e)
	}
	return events
}

// allListening is an intercept as it is when all is well.
func allListening(i session.Intercept) session.Intercept {
	i.Ports = slices.Clone(i.Ports)
	for n := range i.Ports {
		i.Ports[n].Listening = true
	}
	return i
}

// teammateEvents say who else has begun to intercept what this laptop intercepts. Those that were there when somebody
// began to look are no news.
func teammateEvents(before, now State) []Event {
	if before.Everyone == nil || now.Everyone == nil || before.Session.Context != now.Session.Context {
		return nil
	}
	var events []Event
	for _, theirs := range now.Everyone {
		if _, known := find(before.Everyone, theirs.ID); known || theirs.Mine || isOf(now.Session.Intercepts, theirs.ID) {
			continue
		}
		for _, mine := range now.Session.Intercepts {
			if mine.Namespace == theirs.Namespace && mine.Workload.Kind == theirs.Workload.Kind && mine.Workload.Name == theirs.Workload.Name {
				e := about(mine, InterceptTaken, Warning, true, "%s intercepts %s, too.", theirs.User, name(mine))
				e.Hint = "Requests that both of you are meant to get can go to one of you only; the other's intercept is refused."
				events = append(events, e)
				break
			}
		}
	}
	return events
}

func find(all []session.Intercept, id string) (session.Intercept, bool) {
	for _, i := range all {
		if i.ID == id {
			return i, true
		}
	}
	return session.Intercept{}, false
}

func isOf(all []session.Intercept, id string) bool {
	_, ok := find(all, id)
	return ok
}

func about(i session.Intercept, what string, level Level, notify bool, format string, args ...any) Event {
	return Event{Kind: Intercept, Level: level, Name: what, Notify: notify, Where: name(i), Text: fmt.Sprintf(format, args...)}
}

// name is how people call what is intercepted.
func name(i session.Intercept) string { return i.Namespace + "/" + i.Workload.Name }

// destination says what goes where.
func destination(i session.Intercept) string {
	what := "the requests that are meant go"
	switch {
	case i.Mirror:
		what = "a copy goes"
	case i.All:
		what = "all of its traffic goes"
	case i.Header != "":
		what = "requests with " + i.Header + " go"
	}
	var places []string
	for _, p := range i.Ports {
		if p.Local != "" && !slices.Contains(places, p.Local) {
			places = append(places, p.Local)
		}
	}
	if len(places) == 0 {
		return what + " to this laptop"
	}
	return what + " to " + strings.Join(places, " and ")
}

// sentence makes a text one: with a capital letter, unless it begins with the name of something, and a full stop.
func sentence(text string) string {
	if text == "" {
		return text
	}
	if word, _, _ := strings.Cut(text, " "); !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }) {
		first, length := utf8.DecodeRuneInString(text)
		text = string(unicode.ToUpper(first)) + text[length:]
	}
	if strings.ContainsAny(text[len(text)-1:], ".!?:)") {
		return text
	}
	return text + "."
}
