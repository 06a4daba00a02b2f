// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func text(s string) *string { return &s }

func TestReadMatch(t *testing.T) {
	exact := func(name, value string) v1alpha1.HeaderMatch {
		return v1alpha1.HeaderMatch{Name: name, ValueMatch: v1alpha1.ValueMatch{Exact: text(value)}}
	}
	for name, test := range map[string]struct {
		request Request
		want    *v1alpha1.Match
	}{
		"all":            {Request{All: true}, nil},
		"key":            {Request{Key: "ana-1"}, &v1alpha1.Match{Key: text("ana-1")}},
		"header":         {Request{Headers: []string{"x-user=ana"}}, &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{exact("x-user", "ana")}}},
		"empty value":    {Request{Headers: []string{"x-user="}}, &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{exact("x-user", "")}}},
		"value with =":   {Request{Headers: []string{"cookie=a=b"}}, &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{exact("cookie", "a=b")}}},
		"value with ^=":  {Request{Headers: []string{"a=b^=c"}}, &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{exact("a", "b^=c")}}},
		"prefix":         {Request{Headers: []string{"x-user^=an"}}, &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{{Name: "x-user", ValueMatch: v1alpha1.ValueMatch{Prefix: text("an")}}}}},
		"regex":          {Request{Headers: []string{"x-user~=a.*"}}, &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{{Name: "x-user", ValueMatch: v1alpha1.ValueMatch{Regex: text("a.*")}}}}},
		"path":           {Request{Path: "/a"}, &v1alpha1.Match{Path: &v1alpha1.ValueMatch{Exact: text("/a")}}},
		"path, with =":   {Request{Path: "=/a"}, &v1alpha1.Match{Path: &v1alpha1.ValueMatch{Exact: text("/a")}}},
		"path prefix":    {Request{Path: "^=/a"}, &v1alpha1.Match{Path: &v1alpha1.ValueMatch{Prefix: text("/a")}}},
		"path regex":     {Request{Path: "~=.*x"}, &v1alpha1.Match{Path: &v1alpha1.ValueMatch{Regex: text(".*x")}}},
		"key and header": {Request{Key: "k", Headers: []string{"a=b"}}, &v1alpha1.Match{Key: text("k"), Headers: []v1alpha1.HeaderMatch{exact("a", "b")}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, generated, err := test.request.readMatch("ana")
			if err != nil || generated || !sameMatch(got, test.want) {
				t.Errorf("got %+v, %v, %v", got, generated, err)
			}
		})
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	for name, r := range map[string]Request{
		"no workload":       {},
		"all and header":    {Workload: "api", All: true, Headers: []string{"a=b"}},
		"all and path":      {Workload: "api", All: true, Path: "/"},
		"all and key":       {Workload: "api", All: true, Key: "k"},
		"header without =":  {Workload: "api", Headers: []string{"x-user"}},
		"header name":       {Workload: "api", Headers: []string{"x user=ana"}},
		"no header name":    {Workload: "api", Headers: []string{"=ana"}},
		"bad regex":         {Workload: "api", Headers: []string{"a~=("}},
		"bad path":          {Workload: "api", Path: "a"},
		"long value":        {Workload: "api", Headers: []string{"abcdefghijklmnop=" + strings.Repeat("x", 1025)}},
		"key":               {Workload: "api", Key: "a b"},
		"key with newline":  {Workload: "api", Key: "a\nb"},
		"many headers":      {Workload: "api", Headers: strings.Split(strings.Repeat("a=b ", 17), " ")},
		"redirect":          {Workload: "api", Redirect: "magic"},
		"takeover":          {Workload: "api", Takeover: "maybe"},
		"expires":           {Workload: "api", Expires: "tomorrow"},
		"expires at once":   {Workload: "api", Expires: "0s"},
		"address":           {Workload: "api", Address: "a b"},
		"any address":       {Workload: "api", Address: "0.0.0.0"},
		"address with port": {Workload: "api", Address: "127.0.0.1:80"},
		"port zero":         {Workload: "api", Ports: []string{"0"}},
		"port too large":    {Workload: "api", Ports: []string{"3000:65536"}},
		"port protocol":     {Workload: "api", Ports: []string{"1/sctp"}},
		"port without end":  {Workload: "api", Ports: []string{"3000:"}},
		"empty port":        {Workload: "api", Ports: []string{""}},
		"many ports":        {Workload: "api", Ports: strings.Split(strings.Repeat("1:2,", 17), ",")},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := r.read("ana"); !errors.Is(err, problem.New(problem.Usage, "", "")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAWholeRequest(t *testing.T) {
	w, err := Request{Workload: "api", Redirect: "INSTANT", Takeover: "force", Expires: "90m", Ports: []string{"3000:http", "53/udp"}, Address: "[::1]"}.read("ana")
	if err != nil || w.redirect != v1alpha1.RedirectInstant || w.takeover != v1alpha1.TakeoverForce || w.expires != 90*time.Minute || len(w.ports) != 2 || !w.generated {
		t.Errorf("got %+v, %v", w, err)
	}
}

func TestKeysAreReadableAndValid(t *testing.T) {
	for user, want := range map[string]string{
		"ana": "ana", "ana@example.com": "ana", "system:serviceaccount:build:ci": "ci", "https://id.example.com/ui#Jo.Smith": "jo-smith",
		"日本": "me", "": "me", strings.Repeat("long", 20): strings.Repeat("long", 5), "-a-": "a",
	} {
		if got := keyName(user); got != want {
			t.Errorf("keyName(%q) = %q, want %q", user, got, want)
		}
		if key := newKey(user); !regexp.MustCompile(`^.+-[0-9a-f]{4}$`).MatchString(key) || !keyPattern.MatchString(key) {
			t.Errorf("made key %q for %q", key, user)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, seed := range []string{"a=b", "a^=b", "a~=b*", "=", "a", "x y=z", "a^", "^=b", "a==b", "\x00=\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := readHeader(text)
		if err != nil {
			return
		}
		set := 0
		for _, v := range []*string{h.Exact, h.Prefix, h.Regex} {
			if v != nil {
				set++
				if !strings.HasSuffix(text, *v) {
					t.Errorf("%q became %q", text, *v)
				}
			}
		}
		if set != 1 || !namePattern.MatchString(h.Name) || !strings.HasPrefix(text, h.Name) {
			t.Errorf("%q became %+v", text, h)
		}
	})
}

func FuzzReadPort(f *testing.F) {
	for _, seed := range []string{"3000", "3000:80", ":http", "http", "1:2/udp", "/", ":", "99999", "-1", "1:1:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readPort(text)
		if err == nil && (p.local < 0 || p.local > 65535 || p.local == 0 && p.remote == "") {
			t.Errorf("%q became %+v", text, p)
		}
	})
}
