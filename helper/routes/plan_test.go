// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, s := range texts {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// dualStack is a plan as a session makes it.
func dualStack() Plan {
	return NewPlan("fairlead0", addrs("198.19.0.1", "fd5a::1"),
		prefixes("10.96.0.0/12", "10.244.0.0/16", "198.19.0.0/32", "fd00:10:96::/112", "fd5a::/128"),
		addrs("10.96.0.1", "203.0.113.9", "fd00:10:96::1"))
}

func TestNewPlan(t *testing.T) {
	for _, test := range []struct {
		name      string
		addresses []netip.Addr
		routes    []netip.Prefix
		exempt    []netip.Addr
		want      Plan
	}{
		{name: "nothing"},
		{
			name: "covered and repeated routes go", addresses: addrs("198.19.0.1"),
			routes: prefixes("10.1.2.0/24", "10.0.0.0/8", "10.0.0.0/8", "10.200.0.1/32", "11.0.0.0/8"),
			want:   Plan{Addresses: addrs("198.19.0.1"), Routes: prefixes("10.0.0.0/8", "11.0.0.0/8")},
		},
		{
			name: "routes are masked", addresses: addrs("198.19.0.1"), routes: prefixes("10.1.2.3/16"),
			want: Plan{Addresses: addrs("198.19.0.1"), Routes: prefixes("10.1.0.0/16")},
		},
		{
			name: "a family without an address is left out", addresses: addrs("198.19.0.1"),
			routes: prefixes("10.0.0.0/8", "fd00::/64"), exempt: addrs("fd00::1"),
			want: Plan{Addresses: addrs("198.19.0.1"), Routes: prefixes("10.0.0.0/8")},
		},
		{
			name: "exemptions outside the routes are left out", addresses: addrs("198.19.0.1"), routes: prefixes("10.0.0.0/8"),
			exempt: addrs("10.9.9.9", "192.0.2.1", "::ffff:10.0.0.1", "10.9.9.9"),
			want:   Plan{Addresses: addrs("198.19.0.1"), Routes: prefixes("10.0.0.0/8"), Exempt: addrs("10.0.0.1", "10.9.9.9")},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := NewPlan("", test.addresses, test.routes, test.exempt)
			if !slices.Equal(got.Addresses, test.want.Addresses) || !slices.Equal(got.Routes, test.want.Routes) ||
				!slices.Equal(got.Exempt, test.want.Exempt) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestWithoutIPv6(t *testing.T) {
	plan := dualStack()
	if !plan.HasIPv6() || plan.WithoutIPv6().HasIPv6() {
		t.Error("IPv6 is there before and gone after")
	}
	if got := plan.WithoutIPv6(); len(got.Routes) != 3 || len(got.Exempt) != 1 || len(got.Addresses) != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestGolden compares the plan of a session, step by step in words and as commands of macOS, with what was reviewed.
func TestGolden(t *testing.T) {
	steps := dualStack().steps()
	located := locateBy(steps, nil, []bestRoute{
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.1.1"), Through: "en0"},
		{Prefix: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1%en0"), Through: "en0"},
	})
	for _, plan := range []struct {
		file  string
		lines []string
	}{
		{"steps.golden", words(steps)},
		{"steps-removed.golden", words(removal(nil, steps))},
		{"macos.golden", commands(located)},
		{"macos-removed.golden", commands(removal(nil, located))},
	} {
		t.Run(plan.file, func(t *testing.T) {
			golden.Compare(t, filepath.Join("testdata", plan.file), strings.Join(plan.lines, "\n")+"\n")
		})
	}
}

func words(steps []Step) []string {
	var lines []string
	for _, s := range steps {
		lines = append(lines, s.String())
	}
	return lines
}

func commands(steps []Step) []string {
	var lines []string
	for _, s := range steps {
		if command := bsdCommand(s); len(command) > 0 {
			lines = append(lines, strings.Join(command, " "))
		}
	}
	return lines
}

// TestBSDAnswers takes what the tools of macOS say for what it means.
func TestBSDAnswers(t *testing.T) {
	for output, want := range map[string]struct{ gone, present bool }{
		"": {},
		"add net 10.96.0.0: gateway utun4: File exists":                 {present: true},
		"route: writing to routing socket: not in table":                {gone: true},
		"delete net 10.96.0.0: not in table":                            {gone: true},
		"ifconfig: interface utun4 does not exist":                      {gone: true},
		"ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address": {gone: true},
		"route: must be root to alter routing table":                    {},
		"add net 10.96.0.0: gateway utun4: Network is unreachable":      {},
	} {
		if got := bsdGone(output); got != want.gone {
			t.Errorf("%q: gone %v", output, got)
		}
		if got := bsdPresent(output); got != want.present {
			t.Errorf("%q: present %v", output, got)
		}
	}
}
