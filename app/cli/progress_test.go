// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressWaitsBeforeItSaysAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := (&program{stderr: &out}).begin("Connecting")
		time.Sleep(patience - time.Millisecond)
		g.end()
		if out.Len() > 0 {
			t.Errorf("wrote %q", &out)
		}
	})
}

func TestProgressWithoutATerminalIsALineForEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := (&program{stderr: &out}).begin("Connecting")
		g.say("looking at the cluster")
		time.Sleep(patience + time.Millisecond)
		g.say("looking at the cluster")
		g.say("")
		g.say("waiting for the gateway")
		time.Sleep(10 * patience)
		g.end()
		g.end()
		if got, want := out.String(), "Looking at the cluster\nWaiting for the gateway\n"; got != want {
			t.Errorf("wrote %q, want %q", got, want)
		}
	})
}

func TestProgressOnATerminalLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := (&program{stderr: &out, terminal: true}).begin("Connecting")
		time.Sleep(patience + 3*frameTime + time.Millisecond)
		g.end()
		if got := strings.Count(out.String(), "Connecting"); got != 4 {
			t.Errorf("%d pictures of the spinner, want 4: %q", got, &out)
		}
		if !strings.HasSuffix(out.String(), "\r\x1b[K") || strings.Contains(out.String(), "\n") {
			t.Errorf("the line is left: %q", &out)
		}
	})
}

func TestQuietProgressSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := (&program{stderr: &out, quiet: true}).begin("Connecting")
		time.Sleep(10 * patience)
		g.say("still connecting")
		g.end()
		if out.Len() > 0 {
			t.Errorf("wrote %q", &out)
		}
	})
}

func TestShortened(t *testing.T) {
	for _, test := range []struct {
		text string
		most int
		want string
	}{{"connecting", 10, "connecting"}, {"connecting", 9, "connecti…"}, {"öäü", 2, "ö…"}, {"x", -3, "…"}, {"", 0, ""}} {
		if got := shortened(test.text, test.most); got != test.want {
			t.Errorf("shortened(%q, %d) = %q, want %q", test.text, test.most, got, test.want)
		}
	}
}
