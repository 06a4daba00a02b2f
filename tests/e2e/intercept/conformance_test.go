// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestConformance is the table: every protocol, to the app for who is not meant, to the laptop for who is, and to the laptop
// for everybody when all traffic is intercepted. Each check compares what arrives with what was sent.
func TestConformance(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	ports := []string{"--port", "3000:web", "--port", "3001:raw", "--port", "3002:tap"}
	mine := []string{"--header", "x-fairlead=blue"}

	t.Run("direct", func(t *testing.T) { want(t, alice.check(t, labAddresses("lab.lab")...), "lab-", nil) })
	t.Run("personal", func(t *testing.T) {
		a := alice.intercept(t, append([]string{"lab", "--key", "blue"}, ports...)...)
		if a.Phase != "Active" || a.PodsCovered != 3 || a.Header != blue {
			t.Errorf("%+v", a)
		}
		t.Run("not matched", func(t *testing.T) { want(t, alice.check(t, labAddresses("lab.lab")...), "lab-", nil) })
		t.Run("matched", func(t *testing.T) {
			// Bytes that are not HTTP have no header, so they are nobody's.
			want(t, alice.check(t, append(labAddresses("lab.lab"), mine...)...), "alice", map[string]string{"tcp/": "lab-", "udp": "lab-"})
		})
		t.Run("baggage", func(t *testing.T) {
			for header, server := range map[string]string{
				"baggage: fairlead=blue": "alice", "baggage: a=1, fairlead = blue;ttl=3 ,b=2": "alice", "baggage: fairlead=bluegreen": "lab-", "x-fairlead: Blue": "lab-",
			} {
				if got := alice.whoAnswers(t, "http://lab.lab/", header); !strings.HasPrefix(got, server) {
					t.Errorf("with %q %s answered", header, got)
				}
			}
		})
	})
	t.Run("all", func(t *testing.T) {
		alice.intercept(t, append([]string{"lab", "--all", "--port", "3003:echo"}, ports...)...)
		want(t, alice.check(t, labAddresses("lab.lab")...), "alice", nil)
	})
	t.Run("afterwards", func(t *testing.T) { want(t, alice.check(t, labAddresses("lab.lab")...), "lab-", nil) })
}

// want compares the outcome of each check with who should have answered; except names others by the beginning of the check's name.
func want(t *testing.T, outcomes map[string]outcome, server string, except map[string]string) {
	t.Helper()
	if len(outcomes) < 20 {
		t.Errorf("only %d checks were made", len(outcomes))
	}
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		o, from := outcomes[name], server
		for prefix, other := range except {
			if strings.HasPrefix(name, prefix) {
				from = other
			}
		}
		t.Run(name, func(t *testing.T) {
			if o.Error != "" || !strings.HasPrefix(o.Server, from) {
				t.Errorf("answered by %q, not %q: %s", o.Server, from, o.Error)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	for _, c := range []struct {
		flags     []string
		request   []string // path, then headers
		forLaptop bool
	}{
		{[]string{"--header", "x-team=blue"}, []string{"/", "X-Team: blue"}, true},
		{[]string{"--header", "x-team=blue"}, []string{"/", "X-Team: blues"}, false},
		{[]string{"--header", "x-team^=bl"}, []string{"/", "X-Team: blues"}, true},
		{[]string{"--header", "x-team~=b.*s"}, []string{"/", "X-Team: blues"}, true},
		{[]string{"--header", "x-team~=b.*s"}, []string{"/", "X-Team: a blues"}, false},
		{[]string{"--path", "/a"}, []string{"/a?q=1"}, true},
		{[]string{"--path", "/a"}, []string{"/ab"}, false},
		{[]string{"--path", "^=/api/"}, []string{"/api/v1"}, true},
		{[]string{"--path", "~=/v[0-9]+/.*"}, []string{"/v12/x"}, true},
		{[]string{"--header", "x-team=blue", "--header", "x-user=ana", "--path", "^=/api"}, []string{"/api", "X-Team: blue"}, false},
		{[]string{"--header", "x-team=blue", "--header", "x-user=ana", "--path", "^=/api"}, []string{"/api", "X-Team: blue", "x-user: ana"}, true},
	} {
		t.Run(fmt.Sprint(c.flags, c.request), func(t *testing.T) {
			alice.intercept(t, append([]string{"lab", "--port", "3000:web"}, c.flags...)...)
			got := alice.whoAnswers(t, "http://lab.lab"+c.request[0], c.request[1:]...)
			if (got == "alice") != c.forLaptop {
				t.Errorf("%s answered", got)
			}
		})
	}
	for _, flags := range [][]string{{"--header", "x-team~=("}, {"--header", "no value"}, {"--header", "bad name=1"}, {"--path", "~=["}, {"--key", "two words"}, {"--all", "--key", "k"}} {
		if r := alice.Try(t, append([]string{"fairlead", "intercept", "lab", "--port", "3000:web"}, flags...)...); r.Status == 0 || strings.Contains(r.Stderr, "goroutine") {
			t.Errorf("%s", r)
			alice.leave(t)
		}
	}
}

// TestMirror wants the app to answer, and the laptop to get a copy.
func TestMirror(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--mirror", "--key", "blue", "--port", "3000:web", "--port", "3002:tap")
	want := func(header, server string) {
		t.Helper()
		if got := alice.whoAnswers(t, "http://lab.lab/", header); !strings.HasPrefix(got, server) {
			t.Errorf("%s answered", got)
		}
	}
	for range 5 {
		want(blue, "lab-")
		want("x-other: 1", "lab-")
	}
	harness.Eventually(t, 5*time.Second, "the laptop has its copies", func() error {
		for _, a := range alice.intercepts(t) {
			if a.Counts.Matched == 5 {
				return nil
			}
		}
		return fmt.Errorf("intercepts: %+v", alice.intercepts(t))
	})
}
