// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func TestExitStatusTopicIsTrue(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^  (\d+) +([a-z_]+) `).FindAllStringSubmatch(exitStatusTopic().Long, -1)
	if len(lines) < 20 {
		t.Fatalf("found %d lines", len(lines))
	}
	for _, line := range lines {
		if got := problem.New(problem.Code(line[2]), "", "").ExitStatus(); line[2] != "done" && strconv.Itoa(got) != line[1] {
			t.Errorf("%s is said to exit with %s; it exits with %d", line[2], line[1], got)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && c.Example == "" {
			t.Errorf("'%s' has no example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") || c.Short == "" {
			t.Errorf("'%s' has the summary %q", c.CommandPath(), c.Short)
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk((&program{}).rootCommand())
}

func TestRequestedFormat(t *testing.T) {
	for line, want := range map[string]format{
		"":                          formatText,
		"status -o json":            formatJSON,
		"status -ojson":             formatJSON,
		"-o=yaml status":            formatYAML,
		"status --output=yaml":      formatYAML,
		"status --output json":      formatJSON,
		"status -o xml":             formatText,
		"status -o":                 formatText,
		"status -- -o json":         formatText,
		"status -o json -o yaml":    formatYAML,
		"connect --only -o json -x": formatJSON,
	} {
		if got := requestedFormat(strings.Fields(line)); got != want {
			t.Errorf("%q asks for %q, want %q", line, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"context", "namespace", "kubeconfig", "carrier", "as"}
	for text, want := range map[string]string{
		"contxt": "context", "name": "namespace", "namespcae": "namespace", "carier": "carrier", "x": "", "zebra": "", "kubconfg": "kubeconfig", "": "",
	} {
		if got := nearest(text, candidates); got != want {
			t.Errorf("nearest to %q is %q, want %q", text, got, want)
		}
	}
}

func TestCapitalized(t *testing.T) {
	for text, want := range map[string]string{"asking the cluster": "Asking the cluster", "gateway-abc is Pending": "gateway-abc is Pending", "": "", "öl": "Öl"} {
		if got := capitalized(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1 << 30: "1.0 GiB", 1 << 62: "4194304.0 TiB"} {
		if got := size(bytes); got != want {
			t.Errorf("size(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		5 * time.Second: "5 s", 65 * time.Second: "1 min 5 s", 90 * time.Minute: "1 h 30 min", 72 * time.Hour: "3 days",
	} {
		if got := ago(d); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestHeadlineIsTheTruth(t *testing.T) {
	for _, test := range []struct {
		status localapi.Status
		want   string
	}{
		{localapi.Status{}, "Not connected."},
		{localapi.Status{State: session.Connecting, Context: "dev", Step: "asking the gateway"}, "Connecting to dev: asking the gateway."},
		{localapi.Status{State: session.Connecting, Server: "https://x"}, "Connecting to https://x."},
		{localapi.Status{State: session.Reconnecting, Context: "dev"}, "Reconnecting to dev; nothing gets through at the moment."},
		{localapi.Status{State: session.Connected, Context: "dev", Carrier: session.CarrierStatus{Active: "relay", RTT: 41.2}}, "Connected to dev, over the relay (41 ms)."},
		{localapi.Status{State: session.Connected}, "Connected to the cluster."},
		{localapi.Status{State: session.Disconnecting, Context: "dev"}, "Disconnecting from dev."},
	} {
		if got := headline(test.status); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
