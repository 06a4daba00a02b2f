// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"
)

func TestBrowserCommand(t *testing.T) {
	for _, test := range []struct {
		name, system string
		environment  map[string]string
		want         []string
	}{
		{"X11", "linux", map[string]string{"DISPLAY": ":0"}, []string{"xdg-open", "http://page"}},
		{"Wayland", "linux", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, []string{"xdg-open", "http://page"}},
		{"a terminal alone", "linux", nil, nil},
		{"macOS", "darwin", nil, []string{"open", "http://page"}},
		{"Windows", "windows", nil, []string{"rundll32", "url.dll,FileProtocolHandler", "http://page"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := browserCommand(test.system, func(name string) string { return test.environment[name] }, "http://page")
			if !slices.Equal(got, test.want) || (err == nil) != (test.want != nil) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
