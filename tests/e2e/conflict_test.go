// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
)

func TestRouteConflict(t *testing.T) {
	laptop := env.Laptop(0)
	// The laptop has an office network that overlaps the cluster's services.
	for _, args := range [][]string{{"ip", "link", "add", "office0", "type", "bridge"}, {"ip", "link", "set", "office0", "up"}, {"ip", "route", "add", "10.96.0.0/12", "dev", "office0"}} {
		if r := laptop.TryAs(t, "root", args...); r.Status != 0 {
			t.Fatalf("%s", r)
		}
	}
	t.Cleanup(func() { laptop.TryAs(t, "root", "ip", "link", "del", "office0") })
	before := laptop.Snapshot(t)

	r := laptop.Try(t, "fairlead", "connect", "--namespace", "shop")
	if r.Status != 40 {
		t.Errorf("a route conflict should exit with 40: %s", r)
	}
	for _, want := range []string{"10.96.0.0/", "office0", "--map-conflicts"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("the message should name %q: %s", want, r)
		}
	}
	laptop.AsBefore(t, before)

	laptop.Connect(t, "--map-conflicts")
	if out := laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/"); !strings.Contains(out, "catalog-") {
		t.Errorf("catalog.shop by its mapped address: %s", out)
	}
	status := laptop.Status(t)
	if len(status.Mappings) == 0 || !strings.Contains(status.Mappings[0].Because, "office0") {
		t.Errorf("the status should show the mapping and why: %+v", status.Mappings)
	}
	if out := laptop.Run(t, "ip", "route", "get", "10.96.0.10"); !strings.Contains(out, "office0") {
		t.Errorf("the office network should keep its route: %s", out)
	}
	laptop.Run(t, laptop.TrafficProgram(), "datagram", "echo.shop:7", "mapped")
	laptop.Disconnect(t)
	laptop.AsBefore(t, before)
}
