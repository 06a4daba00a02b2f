// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParseLink(t *testing.T) {
	for _, test := range []struct{ link, want string }{
		{"fairlead://open", ""},
		{"fairlead:///", ""},
		{"FAIRLEAD://doctor/", "/doctor"},
		{"fairlead://intercepts", "/intercepts"},
		{"fairlead://intercept?workload=pricing", "/intercept?workload=pricing"},
		{"fairlead://intercept/?namespace=shop&workload=deployment/pricing&port=http&key=ada&context=gke_team%20a", "/intercept?context=gke_team+a&key=ada&namespace=shop&port=http&workload=deployment%2Fpricing"},
	} {
		if got, err := ParseLink(test.link); err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", test.link, got, err, test.want)
		}
	}
	for _, link := range []string{
		"", "fairlead", "fairlead:open", "https://intercept?workload=a", "fairlead://intercept", "fairlead://intercept?namespace=shop",
		"fairlead://connect?context=prod", "fairlead://leave?workload=a", "fairlead://doctor?run=1", "fairlead://doctor/x", "fairlead://a@doctor",
		"fairlead://doctor#x", "fairlead://intercept?workload=a&workload=b", "fairlead://intercept?workload=a&all=true", "fairlead://intercept?workload=A",
		"fairlead://intercept?workload=a&port=99999999999999999", "fairlead://intercept?workload=a%00b", "fairlead://intercept?workload=a&key=x%0d%0ay",
		"fairlead://intercept?workload=a&context=a%0ab", "fairlead://intercept?workload=a;b", "fairlead://intercept?workload=a&context=" + strings.Repeat("x", 254),
		"fairlead://intercept?workload=" + strings.Repeat("a", 3000), "fairlead://%zz",
	} {
		if got, err := ParseLink(link); err == nil {
			t.Errorf("%q is let through as %q", link, got)
		}
	}
}

// place is what app/web lets through as a place on the page.
var place = regexp.MustCompile(`^/[a-z]+(/[-.A-Za-z0-9_~%]*)?(\?[-.A-Za-z0-9_~%=&+]*)?$`)

func FuzzParseLink(f *testing.F) {
	for _, seed := range []string{"fairlead://open", "fairlead://intercept?workload=a&namespace=b&port=80&key=c&context=d", "fairlead://doctor", "fairlead://x?\x00", "fairlead://intercept?workload=%61"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, link string) {
		got, err := ParseLink(link)
		if err != nil || got == "" {
			return
		}
		if !place.MatchString(got) {
			t.Fatalf("%q leads to %q", link, got)
		}
		name, query, _ := strings.Cut(strings.TrimPrefix(got, "/"), "?")
		given, err := url.ParseQuery(query)
		if err != nil || name != "intercept" && (query != "" || !slices.Contains(screens, name)) {
			t.Fatalf("%q leads to %q", link, got)
		}
		for field, values := range given {
			if fields[field] == nil || len(values) != 1 || !fields[field](values[0]) {
				t.Fatalf("%q leads to %q", link, got)
			}
		}
	})
}

func TestParseArguments(t *testing.T) {
	for _, test := range []struct {
		words []string
		want  Arguments
	}{
		{nil, Arguments{}},
		{[]string{"--hidden"}, Arguments{Hidden: true}},
		{[]string{"--version"}, Arguments{Version: true}},
		{[]string{"fairlead://doctor"}, Arguments{Link: "fairlead://doctor"}},
		{[]string{"-psn_0_1", "--hidden", "Fairlead:rubbish"}, Arguments{Hidden: true, Link: "Fairlead:rubbish"}},
	} {
		if got, err := ParseArguments(test.words); err != nil || got != test.want {
			t.Errorf("%q: %+v, %v", test.words, got, err)
		}
	}
	for _, words := range [][]string{{"-h"}, {""}, {"http://a"}, {"fairlead://a", "fairlead://b"}} {
		if got, err := ParseArguments(words); err == nil {
			t.Errorf("%q is let through as %+v", words, got)
		}
	}
}
