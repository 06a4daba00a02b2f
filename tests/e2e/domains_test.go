// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
)

// privateName is one of a zone that only the cluster's DNS has (tests/cluster/manifests/coredns.yaml).
const privateName, privateAddress = "orders.db.corp.example", "10.50.0.7"

// TestDomainsOfTheSettings: a private zone that the cluster's DNS knows resolves once its domain is named, and a name that is left
// out resolves as without Fairlead.
func TestDomainsOfTheSettings(t *testing.T) {
	laptop := env.Laptop(0)
	set := func(name, value string) { laptop.Run(t, "fairlead", "settings", "set", name, value) }
	t.Cleanup(func() {
		laptop.Disconnect(t)
		set("dnsDomains", "")
		set("dnsExclude", "")
	})
	address := func(name string) string {
		first, _, _ := strings.Cut(laptop.Try(t, "getent", "ahostsv4", name).Stdout, " ")
		return first
	}
	laptop.Connect(t)
	catalog := address("catalog.shop")
	if got := address(privateName); got != "" || catalog == "" {
		t.Errorf("without a setting, %s is %q, and catalog.shop %q", privateName, got, catalog)
	}
	set("dnsDomains", "db.corp.example")
	set("dnsExclude", "catalog.shop")
	laptop.Disconnect(t)
	laptop.Connect(t)
	if got := address(privateName); got != privateAddress {
		t.Errorf("%s is %q, want %s", privateName, got, privateAddress)
	}
	if got := address("nobody.db.corp.example"); got != "" {
		t.Errorf("a name that the zone does not have is %q", got)
	}
	if got := address("catalog.shop"); got != "" {
		t.Errorf("what is left out is %q", got)
	}
	if got := address("catalog.shop.svc"); got != catalog {
		t.Errorf("by another name, the service is %q, want %s", got, catalog)
	}
}
