// SPDX-License-Identifier: Apache-2.0

package matching

import (
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func exact(s string) wire.ValueMatch  { return wire.ValueMatch{Exact: &s} }
func prefix(s string) wire.ValueMatch { return wire.ValueMatch{Prefix: &s} }
func regex(s string) wire.ValueMatch  { return wire.ValueMatch{Regex: &s} }

func path(v wire.ValueMatch) wire.Match { return wire.Match{Path: &v} }

func headers(pairs ...any) wire.Match {
	var m wire.Match
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, wire.HeaderMatch{Name: pairs[i].(string), ValueMatch: pairs[i+1].(wire.ValueMatch)})
	}
	return m
}

// fields reads lines such as "x-user: ann".
func fields(lines ...string) []Field {
	var out []Field
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		out = append(out, Field{Name: []byte(name), Value: trim([]byte(value))})
	}
	return out
}

func TestMatch(t *testing.T) {
	both := headers("x-user", exact("ann"), "x-team", prefix("pay"))
	p := prefix("/api/")
	both.Path = &p
	for _, c := range []struct {
		name  string
		match wire.Match
		path  string
		lines []string
		want  bool
	}{
		{"key", wire.Match{Key: "ann"}, "/", []string{"Host: x", "X-Fairlead: ann"}, true},
		{"key, another", wire.Match{Key: "ann"}, "/", []string{"x-fairlead: anna"}, false},
		{"key, case counts", wire.Match{Key: "ann"}, "/", []string{"x-fairlead: Ann"}, false},
		{"key, none", wire.Match{Key: "ann"}, "/", nil, false},
		{"key, second occurrence", wire.Match{Key: "ann"}, "/", []string{"x-fairlead: bob", "x-fairlead: ann"}, true},
		{"baggage", wire.Match{Key: "ann"}, "/", []string{"baggage: fairlead=ann"}, true},
		{"baggage, case of the name", wire.Match{Key: "ann"}, "/", []string{"BAGGAGE: fairlead=ann"}, true},
		{"baggage among others", wire.Match{Key: "ann"}, "/", []string{"baggage: a=1, fairlead=ann ,b=2"}, true},
		{"baggage with properties", wire.Match{Key: "ann"}, "/", []string{"baggage: a=1;x=y, fairlead = ann ; p ; q=1"}, true},
		{"baggage in a property", wire.Match{Key: "ann"}, "/", []string{"baggage: a=1;fairlead=ann"}, false},
		{"baggage encoded", wire.Match{Key: "ann.x"}, "/", []string{"baggage: fairlead=%61nn%2Ex"}, true},
		{"baggage badly encoded", wire.Match{Key: "ann"}, "/", []string{"baggage: fairlead=ann%2"}, false},
		{"baggage, second header", wire.Match{Key: "ann"}, "/", []string{"baggage: a=1", "baggage: fairlead=ann"}, true},
		{"baggage, case of the key", wire.Match{Key: "ann"}, "/", []string{"baggage: Fairlead=ann"}, false},
		{"baggage, longer key", wire.Match{Key: "ann"}, "/", []string{"baggage: xfairlead=ann"}, false},
		{"baggage, rubbish", wire.Match{Key: "ann"}, "/", []string{"baggage: ,,=;,fairlead,=ann,fairlead==ann"}, false},
		{"header exact", headers("X-User", exact("ann")), "/", []string{"x-user: ann"}, true},
		{"header exact, other", headers("X-User", exact("ann")), "/", []string{"x-user: bob"}, false},
		{"header, any occurrence", headers("X-User", exact("ann")), "/", []string{"x-user: bob", "X-USER: ann"}, true},
		{"header, name of the same length", headers("X-User", exact("ann")), "/", []string{"x-usex: ann"}, false},
		{"header empty", headers("x-on", exact("")), "/", []string{"x-on:"}, true},
		{"header empty, not there", headers("x-on", exact("")), "/", nil, false},
		{"header there", headers("x-on", prefix("")), "/", []string{"x-on: 1"}, true},
		{"header prefix", headers("x-user", prefix("an")), "/", []string{"x-user: ann"}, true},
		{"header regex", headers("x-user", regex("a.+|b")), "/", []string{"x-user: ann"}, true},
		{"header regex as a whole", headers("x-user", regex("a|b")), "/", []string{"x-user: ab"}, false},
		{"header regex as a whole, lines", headers("x-user", regex("(?m)^a$")), "/", []string{"x-user: a"}, true},
		{"all parts", both, "/api/x", []string{"x-user: ann", "x-team: payments"}, true},
		{"one part missing", both, "/api/x", []string{"x-user: ann"}, false},
		{"path missing", both, "/", []string{"x-user: ann", "x-team: payments"}, false},
		{"path exact", path(exact("/a")), "/a", nil, true},
		{"path exact, longer", path(exact("/a")), "/a/", nil, false},
		{"path regex", path(regex("/v[0-9]+/.*")), "/v12/x", nil, true},
		{"path not decoded", path(exact("/a b")), "/a%20b", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Compile(c.match)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Match([]byte(c.path), fields(c.lines...)); got != c.want {
				t.Errorf("matched %v, want %v", got, c.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	none, two := wire.ValueMatch{}, exact("a")
	two.Prefix = two.Exact
	for _, c := range []struct {
		name  string
		match wire.Match
		want  string
	}{
		{"nothing", wire.Match{}, "needs a key, a header or a path"},
		{"name", headers("x user", exact("a")), `"x user" can't be the name of a header`},
		{"no name", headers("", exact("a")), `"" can't be the name`},
		{"no value", headers("x-user", none), "header x-user: set exactly one"},
		{"two values", path(two), "path: set exactly one"},
		{"regex", path(regex("a)|(b")), "path: the regular expression can't be read"},
		{"regex, look-ahead", path(regex("(?=a)")), "RE2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Compile(c.match); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	match := headers("x-user", regex("an+"), "x-team", exact("pay"))
	match.Key = "ann"
	m, err := Compile(match)
	if err != nil {
		t.Fatal(err)
	}
	request := fields("Host: shop", "Accept: */*", "baggage: a=1, fairlead=%61nn", "x-user: ann", "x-team: pay")
	where := []byte("/")
	if n := testing.AllocsPerRun(100, func() {
		if !m.Match(where, request) {
			t.Fatal("not matched")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
