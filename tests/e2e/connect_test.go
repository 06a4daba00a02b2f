// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
	"github.com/fairlead-dev/fairlead/tests/e2e/reach"
)

func TestConnectByEachCarrier(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	reach.Nothing(t, env, laptop)
	for _, carrier := range []string{"udp", "relay", "auto"} {
		t.Run(carrier, func(t *testing.T) {
			laptop.Connect(t, "--carrier", carrier)
			status := laptop.Status(t)
			if status.State != session.Connected || !status.DNS.Healthy || carrier != "auto" && status.Carrier.Active != carrier {
				t.Errorf("status after connect: %+v", status)
			}
			reach.Everything(t, env, laptop)
			laptop.Disconnect(t)
			laptop.AsBefore(t, before)
			reach.Nothing(t, env, laptop)
		})
	}
	harness.Eventually(t, 5*time.Second, "no Connection is left in the cluster", func() error {
		if left := strings.TrimSpace(laptop.Run(t, "kubectl", "get", "connections", "-A", "-o", "name")); left != "" {
			return errors.New(left)
		}
		return nil
	})
}

func TestConnectTwiceIsNoChange(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	before := laptop.Status(t)
	if r := laptop.Try(t, "fairlead", "connect", "--namespace", "shop"); r.Status != 0 {
		t.Fatalf("%s", r)
	}
	if after := laptop.Status(t); !after.Since.Equal(*before.Since) {
		t.Errorf("connecting again made a new session: since %v, before %v", after.Since, before.Since)
	}
}

func TestAConnectThatCannotWorkSparesTheConnection(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	before := laptop.Status(t)
	for option, status := range map[string]int{
		"--context=nowhere": 21, "--namespace=nowhere": 25, "--gateway-namespace=shop": 30, "--include=192.168.0.0/16": 40, "--include=0.0.0.0/0": 2,
	} {
		r := laptop.Try(t, "fairlead", "connect", "--namespace", "shop", option)
		if r.Status != status || !strings.Contains(r.Stderr, "stays as it is") {
			t.Errorf("should be refused with exit status %d, and the connection stay: %s", status, r)
		}
	}
	if after := laptop.Status(t); after.State != before.State || !after.Since.Equal(*before.Since) {
		t.Errorf("the connection was touched: %s since %v, before %v", after.State, after.Since, before.Since)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog/")
}

func TestOtherNamespaceChangesWhatShortNamesMean(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog/")
	laptop.Run(t, "fairlead", "connect", "--namespace", "default")
	if r := laptop.Try(t, "curl", "-sS", "-m", "5", "http://catalog/"); r.Status == 0 {
		t.Errorf("catalog answers in namespace default: %s", r)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// TestAPortIsUsedAgain wants a program answered at once that connects again from the port of a connection that has just ended,
// as systems do of their own accord when many short connections go to one service.
func TestAPortIsUsedAgain(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	for how, flags := range map[string][]string{"the target closes first": nil, "the laptop resets": {"--reset"}} {
		var result struct {
			Answered int
			Slowest  float64
			Error    string
		}
		out := laptop.Run(t, append([]string{laptop.TrafficProgram(), "reuse", "catalog.shop:80"}, flags...)...)
		if err := json.Unmarshal([]byte(out), &result); err != nil {
			t.Fatalf("read what became of them: %v\n%s", err, out)
		}
		if result.Answered != 20 || result.Error != "" {
			t.Errorf("%s: %d of 20 connections were answered: %s", how, result.Answered, result.Error)
		}
		t.Logf("%s: the slowest took %.0f ms", how, result.Slowest)
	}
}

func TestExcludeLeavesARangeOut(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t, "--exclude", "10.244.0.0/16")
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	if routes := laptop.Run(t, "ip", "route", "get", "10.244.0.9"); strings.Contains(routes, "fairlead") {
		t.Errorf("an excluded range goes into the tunnel: %s", routes)
	}
}

func TestListShowsWorkloads(t *testing.T) {
	laptop := env.Laptop(0)
	out := laptop.Run(t, "fairlead", "list", "--namespace", "shop")
	for _, want := range []string{"catalog", "pricing", "inventory", "StatefulSet", "Deployment"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list lacks %q:\n%s", want, out)
		}
	}
}

func TestDoctorFindsNothingWrong(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	laptop.Run(t, "fairlead", "doctor")
}
