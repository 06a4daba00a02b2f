// SPDX-License-Identifier: Apache-2.0

package dualstack

import (
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
	"github.com/fairlead-dev/fairlead/tests/e2e/reach"
)

var env *harness.Environment

func TestMain(m *testing.M) {
	config := cluster.Config{Name: "e2edual", Nodes: 2, Family: cluster.Dual, Resolver: cluster.ResolverResolved}
	harness.Main(m, config, func(e *harness.Environment) { env = e })
}

func TestConnect(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	reach.Nothing(t, env, laptop)
	for _, carrier := range []string{"udp", "relay"} {
		t.Run(carrier, func(t *testing.T) {
			laptop.Connect(t, "--carrier", carrier)
			status := laptop.Status(t)
			if status.DNS.Mode != "systemd-resolved" || !status.DNS.Healthy {
				t.Errorf("names should go through systemd-resolved: %+v", status.DNS)
			}
			reach.Everything(t, env, laptop)
			reach.OverIPv6(t, env, laptop)
			laptop.Disconnect(t)
			laptop.AsBefore(t, before)
		})
	}
}

func TestResolverKnowsTheLink(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	out := laptop.Run(t, "resolvectl", "status")
	for _, want := range []string{"fairlead0", "shop.svc.cluster.local", "~cluster.local"} {
		if !strings.Contains(out, want) {
			t.Errorf("resolvectl status lacks %q:\n%s", want, out)
		}
	}
	if status := laptop.Status(t); status.State != session.Connected {
		t.Errorf("status: %+v", status)
	}
}
