// SPDX-License-Identifier: Apache-2.0

package matching

import (
	"net/url"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// FuzzDisjoint holds Disjoint to its word: what it calls disjoint is never matched by both.
func FuzzDisjoint(f *testing.F) {
	f.Add("/a", "/b", uint8(0), uint8(1), "/a/x")
	f.Add("/a.*", "/ab?", uint8(2), uint8(2), "/a")
	f.Add("(?i)x", "X|y", uint8(2), uint8(2), "x")
	f.Add("a*", "b*", uint8(2), uint8(2), "")
	f.Fuzz(func(t *testing.T, one, two string, kindOne, kindTwo uint8, value string) {
		build := func(kind uint8, s string) wire.ValueMatch {
			return []func(string) wire.ValueMatch{exact, prefix, regex}[kind%3](s)
		}
		for _, pair := range [][2]wire.Match{
			{path(build(kindOne, one)), path(build(kindTwo, two))},
			{headers("x-user", build(kindOne, one)), headers("X-USER", build(kindTwo, two))},
		} {
			a, errA := Compile(pair[0])
			b, errB := Compile(pair[1])
			if errA != nil || errB != nil || !Disjoint(pair[0], pair[1]) {
				continue
			}
			for _, s := range []string{value, one, two} {
				request := []Field{{Name: []byte("x-user"), Value: []byte(s)}}
				if a.Match([]byte(s), request) && b.Match([]byte(s), request) {
					t.Fatalf("%q is matched by both", s)
				}
			}
		}
	})
}

// FuzzBaggage compares with a reading by the standard library.
func FuzzBaggage(f *testing.F) {
	f.Add("fairlead=ann", "ann")
	f.Add("a=1;p=q, fairlead = %61nn ; x", "ann")
	f.Add("a=1,,fairlead", "")
	f.Add("fairlead=%zz", "%zz")
	f.Fuzz(func(t *testing.T, header, want string) {
		got := baggageHas([]byte(header), BaggageKey, []byte(want))
		expected := false
		for member := range strings.SplitSeq(header, ",") {
			member, _, _ = strings.Cut(member, ";")
			key, value, ok := strings.Cut(member, "=")
			if !ok || strings.Trim(key, " \t") != BaggageKey {
				continue
			}
			value = strings.Trim(value, " \t")
			if decoded, err := url.PathUnescape(value); err == nil {
				expected = expected || decoded == want
			} else if got && value != want && !strings.Contains(value, "%") {
				t.Fatalf("%q matched %q", header, want)
			} else {
				return // badly encoded: no opinion
			}
		}
		if got != expected {
			t.Fatalf("%q against %q: %v, want %v", header, want, got, expected)
		}
	})
}
