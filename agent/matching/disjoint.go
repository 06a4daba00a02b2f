// SPDX-License-Identifier: Apache-2.0

package matching

import (
	"regexp"
	"strings"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// Disjoint reports whether no request can be matched by both, so that two intercepts of one port don't get in each other's
// way. It is careful: true only where it can tell. It leaves aside the request that says two different things about itself,
// two keys or two values of a header that has one value; such a request goes to the intercept that is older.
//
// A Match that Compile refuses is disjoint with nothing.
func Disjoint(a, b wire.Match) bool {
	if _, err := Compile(a); err != nil {
		return false
	}
	if _, err := Compile(b); err != nil {
		return false
	}
	if a.Path != nil && b.Path != nil && disjointValues(*a.Path, *b.Path) {
		return true
	}
	if a.Key != "" && b.Key != "" && a.Key != b.Key {
		return true
	}
	for _, x := range singles(a) {
		for _, y := range singles(b) {
			if strings.EqualFold(x.Name, y.Name) && disjointValues(x.ValueMatch, y.ValueMatch) {
				return true
			}
		}
	}
	return false
}

// singles are the conditions of a match on headers that have one value. A key is one on KeyHeader.
func singles(m wire.Match) []wire.HeaderMatch {
	var out []wire.HeaderMatch
	if m.Key != "" {
		out = append(out, wire.HeaderMatch{Name: KeyHeader, ValueMatch: wire.ValueMatch{Exact: &m.Key}})
	}
	for _, h := range m.Headers {
		if !repeats(h.Name) {
			out = append(out, h)
		}
	}
	return out
}

// repeats reports whether requests commonly have several lines of the header, or a list that proxies and HTTP/2 may split
// into several: then two different values can both be there.
func repeats(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "baggage", "cache-control", "connection", "cookie", "expect", "forwarded", "if-match", "if-none-match", "link", "pragma",
		"prefer", "te", "trailer", "tracestate", "transfer-encoding", "upgrade", "via", "warning":
		return true
	}
	return strings.HasPrefix(name, "accept") || strings.HasPrefix(name, "x-forwarded-")
}

// disjointValues reports whether no value can satisfy both. Both are valid.
func disjointValues(a, b wire.ValueMatch) bool {
	if a.Exact != nil {
		return !satisfies(*a.Exact, b)
	}
	if b.Exact != nil {
		return !satisfies(*b.Exact, a)
	}
	p, q := begins(a), begins(b)
	return !strings.HasPrefix(p, q) && !strings.HasPrefix(q, p)
}

func satisfies(s string, m wire.ValueMatch) bool {
	v, err := compileValue(m)
	return err != nil || v.holds([]byte(s))
}

// begins is what every value that satisfies m, a prefix or a regular expression, begins with.
func begins(m wire.ValueMatch) string {
	if m.Prefix != nil {
		return *m.Prefix
	}
	re, err := regexp.Compile(*m.Regex)
	if err != nil {
		return ""
	}
	prefix, _ := re.LiteralPrefix()
	return prefix
}
