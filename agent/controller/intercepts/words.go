// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// String says a workload for people, such as "deployment api".
func (w workload) String() string { return strings.ToLower(w.kind) + " " + w.name }

func describePort(p port) string {
	text := strconv.Itoa(int(p.Number))
	if p.Protocol == string(corev1.ProtocolUDP) {
		text += "/UDP"
	}
	return text
}

// clock says a moment as shortly as it can be understood.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// describeConflict says whose intercept is in the way of another, and what to do.
func describeConflict(p port, c, other *claim, now time.Time) string {
	who := other.intercept.Spec.User
	advice := "ask them to leave, or use a key or a header that differs"
	if who == c.intercept.Spec.User {
		who, advice = "you", "leave that one first, or use a key or a header that differs"
	}
	since := clock(other.intercept.CreationTimestamp.Time, now)
	what := fmt.Sprintf("port %s of %s", describePort(p), other.ref)
	have := "has"
	if who == "you" {
		have = "have"
	}
	switch {
	case other.match == nil && c.match == nil:
		if who == "you" {
			advice = "leave that one first"
		} else {
			advice = "ask them to leave"
		}
		return fmt.Sprintf("%s %s all traffic of %s since %s: %s", who, have, what, since, advice)
	case other.match == nil:
		return fmt.Sprintf("%s %s all traffic of %s since %s, and personal intercepts beside that are not allowed here "+
			"(chart value intercepts.personalBesideAll): %s", who, have, what, since, strings.TrimSuffix(advice, ", or use a key or a header that differs"))
	case c.match == nil:
		return fmt.Sprintf("%s %s the requests with %s of %s since %s, and taking all traffic beside that is not allowed here "+
			"(chart value intercepts.personalBesideAll): %s", who, have, describeMatch(*other.match), what, since, strings.TrimSuffix(advice, ", or use a key or a header that differs"))
	default:
		return fmt.Sprintf("%s %s the requests with %s of %s since %s, which may be the same ones: %s", who, have, describeMatch(*other.match), what, since, advice)
	}
}

// describeMatch says which requests are meant.
func describeMatch(m wire.Match) string {
	var parts []string
	if m.Key != "" {
		parts = append(parts, "the key "+m.Key)
	}
	for _, h := range m.Headers {
		parts = append(parts, "the header "+h.Name+" "+describeValue(h.ValueMatch))
	}
	if m.Path != nil {
		parts = append(parts, "the path "+describeValue(*m.Path))
	}
	return strings.Join(parts, " and ")
}

func describeValue(v wire.ValueMatch) string {
	switch {
	case v.Exact != nil:
		return *v.Exact
	case v.Prefix != nil:
		return *v.Prefix + "…"
	case v.Regex != nil:
		return "/" + *v.Regex + "/"
	}
	return ""
}

// plural says a number of things.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}
