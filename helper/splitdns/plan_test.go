// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

func testPlan() plan {
	c := testConfig()
	return newPlan(c, c.Addresses, dnsPort)
}

func TestPlan(t *testing.T) {
	golden.Compare(t, filepath.Join("testdata", "plan.txt"), testPlan().String())
}

func TestPlanOfResolverFiles(t *testing.T) {
	p := testPlan()
	p.port = 5301
	var b strings.Builder
	for _, file := range planResolverFiles(p, p.domains) {
		fmt.Fprintf(&b, "== %s\n%s", file.path, file.content)
	}
	golden.Compare(t, filepath.Join("testdata", "resolver-files.txt"), b.String())
}

func TestPlanOfNRPT(t *testing.T) {
	p := testPlan()
	for i := range 60 {
		p.domains = append(p.domains, fmt.Sprintf("namespace-%02d", i))
	}
	var b strings.Builder
	for _, value := range append(planInterfaceSearch("{0000}", p), planNRPT(nrptLocal, p)...) {
		fmt.Fprintln(&b, value)
	}
	golden.Compare(t, filepath.Join("testdata", "nrpt.txt"), b.String())
}

func TestResolvConf(t *testing.T) {
	before := parseResolvConf([]byte("# by hand\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver bogus\n" +
		"domain old.example\nsearch corp.example shop-a.svc.cluster.local\noptions edns0 trust-ad\noptions timeout:2\n" +
		"sortlist 192.0.2.0/24\n;nameserver 6.6.6.6\nnameserver\n"))
	if len(before.servers) != 2 || before.servers[1].String() != "[2001:db8::53]:53" {
		t.Errorf("servers %v", before.servers)
	}
	golden.Compare(t, filepath.Join("testdata", "resolv.conf"), string(renderResolvConf(testPlan(), before)))
}

// FuzzResolvConf holds that whatever a machine's file says, ours says where we are and is read back as it is meant.
func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.53\nsearch a b\noptions ndots:2\n"))
	f.Add([]byte("nameserver fe80::1%eth0\nsearch\noptions\r\nx y\x00z"))
	f.Fuzz(func(t *testing.T, content []byte) {
		ours := renderResolvConf(testPlan(), parseResolvConf(content))
		again := parseResolvConf(ours)
		if len(again.servers) != 1 || again.servers[0].Addr() != testConfig().Addresses[0] {
			t.Errorf("servers %v in\n%s", again.servers, ours)
		}
		if len(again.search) == 0 || again.search[0] != "shop-a.svc.cluster.local" {
			t.Errorf("search %q in\n%s", again.search, ours)
		}
	})
}

func TestPlanForResolversWithLimits(t *testing.T) {
	c := testConfig()
	for i := range 900 {
		c.Namespaces = append(c.Namespaces, fmt.Sprintf("team-%03d", i))
	}
	p := newPlan(c, c.Addresses, dnsPort)
	domains, note := p.first(250)
	if len(domains) != 250 || domains[0] != "cluster.local" || !slices.Contains(domains, "96.10.in-addr.arpa") || !slices.Contains(domains, "shop-a") {
		t.Errorf("%d domains, first %q", len(domains), domains[:10])
	}
	if !strings.Contains(note, "need full names") {
		t.Errorf("note %q", note)
	}
	if slices.Contains(p.domains, "local") {
		t.Error("a namespace takes over mDNS")
	}
}
