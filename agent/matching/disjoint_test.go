// SPDX-License-Identifier: Apache-2.0

package matching

import (
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func TestDisjoint(t *testing.T) {
	keyed := func(key string, m wire.Match) wire.Match { m.Key = key; return m }
	for _, c := range []struct {
		name string
		a, b wire.Match
		want bool
	}{
		{"keys", wire.Match{Key: "ann"}, wire.Match{Key: "bob"}, true},
		{"same key", wire.Match{Key: "ann"}, wire.Match{Key: "ann"}, false},
		{"key and path", wire.Match{Key: "ann"}, path(exact("/a")), false},
		{"keys and same path", keyed("ann", path(exact("/a"))), keyed("bob", path(exact("/a"))), true},
		{"same key, paths", keyed("ann", path(exact("/a"))), keyed("ann", path(exact("/b"))), true},
		{"key and its header, other", wire.Match{Key: "ann"}, headers("X-Fairlead", exact("bob")), true},
		{"key and its header, same", wire.Match{Key: "ann"}, headers("X-Fairlead", prefix("a")), false},
		{"key and another header", wire.Match{Key: "ann"}, headers("x-user", exact("bob")), false},
		{"headers, values", headers("x-user", exact("ann")), headers("X-User", exact("bob")), true},
		{"headers, same", headers("x-user", exact("ann")), headers("x-user", exact("ann")), false},
		{"different headers", headers("x-user", exact("ann")), headers("x-team", exact("pay")), false},
		{"one header of two", headers("x-team", exact("pay"), "x-user", exact("ann")), headers("x-user", exact("bob")), true},
		{"list headers", headers("Accept", exact("a/b")), headers("Accept", exact("c/d")), false},
		{"cookies", headers("cookie", exact("a=1")), headers("cookie", exact("a=2")), false},
		{"baggage by hand", headers("baggage", exact("fairlead=ann")), headers("baggage", exact("fairlead=bob")), false},
		{"exact and prefix", path(exact("/a/b")), path(prefix("/a")), false},
		{"exact and other prefix", path(exact("/a/b")), path(prefix("/b")), true},
		{"exact and regex", path(exact("/a/b")), path(regex("/a/.*")), false},
		{"exact and other regex", path(exact("/a/b")), path(regex("/a/[0-9]")), true},
		{"exact and part of a regex", path(exact("/ab")), path(regex("/a")), true},
		{"prefixes", path(prefix("/a")), path(prefix("/b")), true},
		{"prefix of a prefix", path(prefix("/a")), path(prefix("/a/b")), false},
		{"empty prefix", path(prefix("")), path(prefix("/a")), false},
		{"prefix and regex", path(prefix("/a")), path(regex("/b.*")), true},
		{"prefix and regex that may", path(prefix("/a")), path(regex("/.*")), false},
		{"prefix and regex, case", path(prefix("/a")), path(regex("(?i)/A.*")), false},
		{"regexes", path(regex("/a/.*")), path(regex("/b/.*")), true},
		{"regexes, alternatives", path(regex("(/a|/b)")), path(regex("(/c|/d)")), false},
		{"regex, optional", path(regex("/a?b")), path(regex("/b")), false},
		{"regex, repeated nothing", path(regex("(/ab)*")), path(regex("/x.*")), false},
		{"not valid", path(regex("(")), path(exact("/a")), false},
		{"empty", wire.Match{}, wire.Match{Key: "ann"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Disjoint(c.a, c.b); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := Disjoint(c.b, c.a); got != c.want {
				t.Errorf("the other way round: got %v, want %v", got, c.want)
			}
		})
	}
}
