// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// readyPod is the gateway's pod as it should be.
func readyPod() core.Pod {
	return core.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: "gateway-1", Labels: map[string]string{cluster.ActiveLabel: "true", cluster.VersionLabel: "0.1.0"}},
		Status:     core.PodStatus{Phase: core.PodRunning, Conditions: []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}},
	}
}

func TestAConnectThatCannotWorkSparesTheSession(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*world)
		want    problem.Code
		text    string // in message, hint or details
	}{
		{"no such context", func(w *world) { w.options.Context = "nowhere" }, problem.ContextNotFound, "nowhere"},
		{"no kubeconfig", func(w *world) { w.options.Kubeconfigs = []string{"/nowhere"} }, problem.Kubeconfig, "/nowhere"},
		{"no such carrier", func(w *world) { w.options.Carrier = "pigeon" }, problem.Usage, "pigeon"},
		{"a range that is none", func(w *world) { w.options.Include = []string{"10.1.2"} }, problem.Usage, "10.1.2"},
		{"a range that may not be routed", func(w *world) { w.options.Include = []string{"0.0.0.0/0"} }, problem.Usage, "--include"},
		{"no such namespace", func(w *world) { w.options.Namespace = "shpo" }, problem.NamespaceNotFound, "default, shop"},
		{"no such namespace, as the gateway says", func(w *world) { w.options.Namespace, w.cluster.blind = "shpo", true }, problem.NamespaceNotFound, "default, shop"},
		{"no gateway", func(w *world) { w.options.MapConflicts, w.cluster.absent = true, true }, problem.GatewayMissing, "fairlead"},
		{"no gateway in that namespace", func(w *world) { w.options.GatewayNamespace, w.cluster.pods = "elsewhere", nil }, problem.GatewayMissing, "elsewhere"},
		{"gateway not ready", func(w *world) { w.options.MapConflicts, w.cluster.pods[0].Status.Conditions = true, nil }, problem.GatewayNotReady, "pod gateway-1: Running, not ready"},
		{"gateway of another version", func(w *world) {
			w.options.MapConflicts, w.cluster.pods[0].Labels[cluster.VersionLabel] = true, "0.9.0"
		}, problem.GatewayVersion, "0.9.0"},
		{"no right", func(w *world) { w.options.MapConflicts, w.cluster.forbidden = true, true }, problem.Forbidden, "patch connections.fairlead.dev"},
		{"cluster down", func(w *world) { w.options.MapConflicts, w.cluster.broken = true, http.StatusServiceUnavailable }, problem.ClusterUnreachable, "could not carry out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.pods[0] = readyPod()
			w.connect(t)
			w.cluster.mu.Lock()
			test.prepare(w)
			w.cluster.mu.Unlock()
			p, ok := errors.AsType[*problem.Problem](w.manager.Connect(t.Context(), w.options))
			if !ok || p.Code != test.want || !strings.Contains(p.Message+p.Hint+strings.Join(p.Details, "\n"), test.text) {
				t.Fatalf("got %#v", p)
			}
			if !slices.Contains(p.Details, "the connection to test, namespace shop, stays as it is") {
				t.Errorf("does not say that the connection stays: %q", p.Details)
			}
			if s := w.manager.Status(); s.State != Connected || s.Namespace != "shop" || w.helper.started != 1 || w.helper.downs != 0 {
				t.Errorf("the session was touched: %s in %s after %d sessions, %d of them down", s.State, s.Namespace, w.helper.started, w.helper.downs)
			}
		})
	}
}

func TestWhatMayNotBeLookedAtIsTakenToBeInOrder(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) { c.blind = true })
	w.options.Namespace = "default"
	w.connect(t)
	if s := w.manager.Status(); s.State != Connected || s.Namespace != "default" {
		t.Errorf("got %s in %s", s.State, s.Namespace)
	}
}

func TestCheckRoutes(t *testing.T) {
	loopback := ""
	for name, addresses := range interfaceAddresses() {
		if slices.Contains(addresses, netip.MustParseAddr("127.0.0.1")) {
			loopback = name
		}
	}
	known := &surroundings{ranges: prefixes("127.5.0.0/16"), local: []api.LocalRoute{local("127.0.0.0/8", loopback, ""), vpn}}
	r := &request{include: prefixes(vpn.Prefix.String())} // of a network that has gone since
	if err := r.checkRoutes(known); !errors.Is(err, problem.New(problem.RouteConflict, "", "")) {
		t.Errorf("a network of this machine overlaps; got %v", err)
	}
	r.exclude = prefixes("127.0.0.0/8")
	if err := r.checkRoutes(known); err != nil {
		t.Errorf("nothing overlaps any more; got %v", err)
	}
}

func TestAttached(t *testing.T) {
	gone := local("10.8.0.0/16", "tun0", "")
	moved := local("192.168.1.0/24", "wlan0", "")
	still := local("192.168.7.0/24", "wlan0", "")
	addresses := map[string][]netip.Addr{"wlan0": {netip.MustParseAddr("192.168.7.9")}}
	if got := attached([]api.LocalRoute{gone, moved, still}, addresses); !slices.Equal(got, []api.LocalRoute{still}) {
		t.Errorf("got %v", got)
	}
}
