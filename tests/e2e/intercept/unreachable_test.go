// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestGatewayGone: the gateway ends and none follows, for a while. The apps answer, whichever way their traffic is redirected.
func TestGatewayGone(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	instant, unprivileged := "http://"+serviceAddress(t, "lab", "lab")+"/", "http://"+serviceAddress(t, "strict", "strict")+"/"
	loads := map[string]*load{
		"callers":                         startLoad(t, lab, "load", instant, "--rate", "50"),
		"the developer's own":             startLoad(t, lab, "load", instant, "--rate", "20", "--header", "x-fairlead=blue"),
		"callers of the restricted":       startLoad(t, lab, "load", unprivileged, "--rate", "50"),
		"the developer's, the restricted": startLoad(t, lab, "load", unprivileged, "--rate", "20", "--header", "x-fairlead=blue"),
	}
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	alice.intercept(t, "deploy/strict", "-n", "strict", "--key", "blue", "--port", "3000:web")
	scale := func(replicas int) {
		t.Helper()
		patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
		if _, err := env.Cluster.Kubernetes().AppsV1().Deployments("fairlead").Patch(context.WithoutCancel(t.Context()), "fairlead-gateway", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { scale(1) })
	scale(0)
	for name, url := range map[string]string{"the app": instant, "the restricted app": unprivileged} {
		// Asked on a node: without a gateway the laptop has no way in.
		took := harness.Eventually(t, 10*time.Second, name+" answers", func() error {
			out, err := env.Cluster.Node(0).Command(t.Context(), "curl", "-sS", "-m", "5", "-H", blue, url).CombinedOutput()
			if err != nil || !strings.Contains(string(out), `"server":"lab-`) && !strings.Contains(string(out), `"server":"strict-`) {
				return fmt.Errorf("%v: %s", err, out)
			}
			return nil
		})
		t.Logf("%s answered %v after the gateway was told to end", name, took)
	}
	scale(1)
	harness.Eventually(t, 30*time.Second, "the laptop answers again", func() error {
		for _, url := range []string{"http://lab.lab/", "http://strict.strict/"} {
			if r := alice.Try(t, "curl", "-sS", "-m", "1", "-H", blue, url); !strings.Contains(r.Stdout, `"server":"alice"`) {
				return fmt.Errorf("%s", r)
			}
		}
		return nil
	})
	for name, l := range loads {
		result := l.stop(t)
		if result.Failed > 0 { // also who is not answered within twice answerLimit
			t.Errorf("%s noticed: %+v", name, result)
		}
		t.Logf("%s: %d requests, slowest %.1f s; it should be %v at most; answered by %v", name, result.Requests, result.Slowest, answerLimit, result.Servers)
	}
}

// TestGatewayUnreachable: what sidecar and gateway send each other is lost, with nothing said. No request waits for longer than
// 5 s for the app, and the laptop has them again when the network is back.
func TestGatewayUnreachable(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	pod := podOf(t, "kinds", "guarded")
	const url = "http://guarded.kinds/"
	alice.intercept(t, "pod/guarded", "-n", "kinds", "--key", "blue", "--port", "3000:web")
	if got := alice.whoAnswers(t, url, blue); got != "alice" {
		t.Fatalf("%s answers", got)
	}
	rules := func(action string) {
		t.Helper()
		for i := range env.Cluster.Nodes() {
			for _, match := range [][]string{{"-s", pod.Status.PodIP, "-p", "tcp", "--dport", "8443"}, {"-d", pod.Status.PodIP, "-p", "tcp", "--sport", "8443"}} {
				args := append(append([]string{"iptables", action, "FORWARD"}, match...), "-j", "DROP")
				if out, err := env.Cluster.Node(i).Command(context.WithoutCancel(t.Context()), args...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", args, err, out)
				}
			}
		}
	}
	lost := false
	t.Cleanup(func() {
		if lost {
			rules("-D")
		}
	})
	rules("-I")
	lost = true
	for range 5 {
		if got := alice.whoAnswers(t, url, blue); got != "guarded" {
			t.Errorf("the developer is answered by %s", got)
		}
		if got := alice.whoAnswers(t, url, "x-other: 1"); got != "guarded" {
			t.Errorf("others are answered by %s", got)
		}
	}
	rules("-D")
	lost = false
	took := harness.Eventually(t, 15*time.Second, "the laptop answers again", alice.answers(t, "alice", url, blue))
	t.Logf("the laptop answered %v after the network was back", took)
}
