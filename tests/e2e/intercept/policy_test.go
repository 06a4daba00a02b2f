// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"strings"
	"testing"
)

// TestEgressDenied: the pod may open no connection, as under a NetworkPolicy that denies egress by default. The network of this
// cluster enforces none, so the nodes are given the rules that one which does would write. The intercept says what has to be
// allowed, the app goes on answering, and with that allowed, and nothing else, it works.
func TestEgressDenied(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	pod := podOf(t, "kinds", "guarded")
	rule := func(action string, match ...string) {
		t.Helper()
		for i := range env.Cluster.Nodes() {
			args := append([]string{action, "FORWARD", "-s", pod.Status.PodIP, "-m", "conntrack", "--ctstate", "NEW"}, match...)
			if out, err := env.Cluster.Node(i).Command(context.WithoutCancel(t.Context()), append([]string{"iptables"}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("iptables %v: %v: %s", args, err, out)
			}
		}
	}
	denied, allowed := []string{"-j", "DROP"}, []string{"-p", "tcp", "--dport", "8443", "-j", "ACCEPT"}
	rule("-I", denied...)
	t.Cleanup(func() { rule("-D", denied...) })
	const url = "http://guarded.kinds/"

	args := []string{"fairlead", "intercept", "pod/guarded", "-n", "kinds", "--all", "--port", "3000:web"}
	r := alice.Try(t, args...)
	t.Cleanup(func() { alice.leave(t) })
	for _, said := range []string{"NetworkPolicy", "8443", "namespace fairlead"} {
		if r.Status == 0 || !strings.Contains(r.Stderr, said) {
			t.Errorf("%q is not said: %s", said, r)
		}
	}
	if got := alice.whoAnswers(t, url); got != "guarded" {
		t.Errorf("%s answered", got)
	}
	if left := alice.intercepts(t); len(left) > 0 {
		t.Errorf("it stays: %+v", left)
	}

	rule("-I", allowed...)
	t.Cleanup(func() { rule("-D", allowed...) })
	if a := alice.intercept(t, args[2:]...); a.Phase != "Active" {
		t.Errorf("%+v", a)
	}
	if got := alice.whoAnswers(t, url); got != "alice" {
		t.Errorf("%s answered", got)
	}
}
