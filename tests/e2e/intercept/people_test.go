// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestTwoDevelopersAndOthers: two headers, one Deployment of three pods on two nodes, plus ordinary users, while pods come
// and go: each gets exactly their own.
func TestTwoDevelopersAndOthers(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	bob.serve(t, 3000)
	for _, d := range []developer{alice, bob} {
		if a := d.intercept(t, "lab", "--key", d.name, "--port", "3000:web"); a.PodsCovered != 3 {
			t.Errorf("%+v", a)
		}
	}
	each := func(t *testing.T) {
		t.Helper()
		for range 12 { // every pod has its turn
			for header, server := range map[string]string{"x-fairlead: alice": "alice", "x-fairlead: bob": "bob", "x-fairlead: carol": "lab-", "x-none: 1": "lab-"} {
				if got := alice.whoAnswers(t, "http://lab.lab/", header); !strings.HasPrefix(got, server) {
					t.Errorf("with %q %s answered", header, got)
				}
			}
		}
	}
	t.Run("three pods", each)
	covered := func(t *testing.T, pods int) {
		t.Helper()
		harness.Eventually(t, 30*time.Second, fmt.Sprintf("%d pods are covered", pods), func() error {
			for _, a := range alice.intercepts(t) {
				if a.PodsCovered != pods || a.PodsReady != pods || a.Phase != "Active" {
					return fmt.Errorf("%+v", a)
				}
			}
			return nil
		})
	}
	scale := func(t *testing.T, replicas int) {
		t.Helper()
		patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
		if _, err := env.Cluster.Kubernetes().AppsV1().Deployments("lab").Patch(t.Context(), "lab", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		covered(t, replicas)
	}
	t.Cleanup(func() { restoreLab(t) })
	// Where a pod ended a moment ago, nodes send callers to its address until kube-proxy has written its rules, Fairlead or not.
	settled := func(t *testing.T) {
		t.Helper()
		harness.Eventually(t, 15*time.Second, "nodes know which pods there are", func() error {
			for range 10 {
				if r := alice.Try(t, "curl", "-sS", "-m", "1", "-o", "/dev/null", "http://lab.lab/"); r.Status != 0 {
					return fmt.Errorf("%s", r)
				}
			}
			return nil
		})
	}
	t.Run("scaled to 6", func(t *testing.T) { scale(t, 6); each(t) })
	t.Run("rolled out", func(t *testing.T) {
		alice.kubectlAdmin(t, "-n", "lab", "rollout", "restart", "deployment/lab")
		alice.kubectlAdmin(t, "-n", "lab", "rollout", "status", "deployment/lab", "--timeout=60s")
		covered(t, 6)
		settled(t)
		each(t)
	})
	t.Run("scaled to 1", func(t *testing.T) { scale(t, 1); settled(t); each(t) })
	t.Run("node drained", func(t *testing.T) {
		scale(t, 3)
		node := env.Cluster.Node(1).Name
		defer alice.kubectlAdmin(t, "uncordon", node)
		alice.kubectlAdmin(t, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s", "--pod-selector=app=lab")
		covered(t, 3)
		settled(t)
		each(t)
	})
}

func TestConflicts(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	bob.serve(t, 3000)
	refused := func(t *testing.T, d developer, args ...string) {
		t.Helper()
		r := d.Try(t, append([]string{"fairlead", "intercept", "lab", "--port", "3000:web"}, args...)...)
		if r.Status == 0 || !strings.Contains(r.Stderr, "alice") {
			t.Errorf("%s", r)
		}
		for _, a := range d.intercepts(t) {
			if a.User == d.name && a.User != "alice" {
				t.Errorf("a refused intercept stays: %+v", a)
			}
		}
	}
	t.Run("the same key", func(t *testing.T) {
		alice.intercept(t, "lab", "--key", "same", "--port", "3000:web")
		refused(t, bob, "--key", "same")
		refused(t, bob, "--path", "^=/") // overlaps
		refused(t, bob, "--all")         // policy
		alice.leave(t)
		bob.intercept(t, "lab", "--key", "same", "--port", "3000:web")
		bob.leave(t)
	})
	t.Run("all", func(t *testing.T) {
		alice.intercept(t, "lab", "--all", "--port", "3000:web")
		refused(t, bob, "--all")
		refused(t, bob, "--key", "other")
		bob.intercept(t, "lab", "--all", "--port", "3001:raw") // another port is nobody's
		bob.leave(t)
		alice.leave(t)
	})
	t.Run("at the same moment", func(t *testing.T) {
		results := make(chan harness.Result, 2)
		for _, d := range []developer{alice, bob} {
			t.Cleanup(func() { d.leave(t) })
			go func() { results <- d.Try(t, "fairlead", "intercept", "lab", "--all", "--port", "3000:web") }()
		}
		a, b := <-results, <-results
		if (a.Status == 0) == (b.Status == 0) {
			t.Errorf("not exactly one has it:\n%s\n%s", a, b)
		}
	})
}

// TestRights: what Kubernetes itself refuses.
func TestRights(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "alice", "--port", "3000:web")
	name := alice.intercepts(t)[0].Name
	bobs, err := env.Cluster.UserKubeconfig("bob", "developers")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"delete", "intercept", name}, {"patch", "intercept", name, "--type=merge", "-p", `{"spec":{"leaving":true}}`},
		{"patch", "intercept", name, "--type=merge", "-p", `{"spec":{"user":"bob"}}`},
	} {
		if r := bob.Try(t, append([]string{"kubectl", "--kubeconfig", bobs, "-n", "lab"}, args...)...); r.Status == 0 || !strings.Contains(r.Stderr, "alice") && !strings.Contains(r.Stderr, "user can't be changed") {
			t.Errorf("%s", r)
		}
	}
	if r := bob.Try(t, "fairlead", "leave", "--owner", "alice", "lab"); r.Status == 0 || !strings.Contains(r.Stderr, "alice") {
		t.Errorf("%s", r)
	}
	if got := alice.whoAnswers(t, "http://lab.lab/", "x-fairlead: alice"); got != "alice" {
		t.Errorf("%s answered", got)
	}
	t.Run("no rights on the namespace", func(t *testing.T) {
		r := bob.Try(t, "fairlead", "intercept", "coredns", "-n", "kube-system", "--port", "3000:53")
		if r.Status == 0 || !strings.Contains(r.Stderr, "kube-system") {
			t.Errorf("%s", r)
		}
	})
	t.Run("somebody else's connection", func(t *testing.T) {
		manifest := fmt.Sprintf(`{"apiVersion":"fairlead.dev/v1alpha1","kind":"Intercept","metadata":{"name":"stolen","namespace":"lab"},"spec":{"user":"bob",
			"connection":{"namespace":"fairlead","name":%q},"workload":{"kind":"Deployment","name":"lab"},"ports":[{"port":7000,"tunnelPort":3000}]}}`,
			strings.TrimPrefix(alice.Status(t).Connection, "fairlead/"))
		r := bob.Try(t, "sh", "-c", "echo '"+manifest+"' | kubectl --kubeconfig "+bobs+" apply -f -")
		if r.Status == 0 { // the gateway refuses what admission lets through
			defer bob.Try(t, "kubectl", "--kubeconfig", bobs, "-n", "lab", "delete", "intercept", "stolen")
			harness.Eventually(t, 5*time.Second, "the intercept is refused", func() error {
				if out := bob.Run(t, "kubectl", "--kubeconfig", bobs, "-n", "lab", "get", "intercept", "stolen", "-o", "jsonpath={.status.phase}"); out != "Refused" {
					return fmt.Errorf("phase %q", out)
				}
				return nil
			})
		}
	})
	t.Run("a pod can't open a flow by itself", func(t *testing.T) {
		// The gateway's port for sidecars takes TLS, and hears nobody without a credential.
		r := alice.Try(t, "curl", "-sSk", "-m", "3", "https://fairlead-sidecars.fairlead:8443/")
		if r.Status == 0 {
			t.Errorf("%s", r)
		}
	})
	t.Run("an administrator ends it", func(t *testing.T) {
		alice.kubectlAdmin(t, "-n", "lab", "delete", "intercept", name)
		harness.Eventually(t, 5*time.Second, "the app answers", alice.answers(t, "lab-", "http://lab.lab/", "x-fairlead: alice"))
	})
}

// TestChain: front -> catalog, of which only the catalog is intercepted: the request that entered at the front reaches the
// laptop, because the services hand the baggage on.
func TestChain(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "catalog", "-n", "shop", "--key", "blue", "--port", "3000:http")
	harness.Eventually(t, 10*time.Second, "the laptop answers what entered at the front", func() error { // which keeps its connections
		if mine := alice.Run(t, "curl", "-sS", "-m", "5", "-H", "baggage: fairlead=blue", "http://front.shop/"); !strings.Contains(mine, `"server":"alice"`) {
			return fmt.Errorf("%s", mine)
		}
		return nil
	})
	if others := alice.Run(t, "curl", "-sS", "-m", "5", "http://front.shop/"); strings.Contains(others, "alice") || !strings.Contains(others, "anchor") {
		t.Errorf("without: %s", others)
	}
}

// TestLongChain: front -> catalog -> pricing (gRPC, over a connection that is open all the time), of which only pricing is
// intercepted, and served on the laptop by a program of its own.
func TestLongChain(t *testing.T) {
	alice := connected(t, 0)
	root := env.Cluster.Config().Root
	shop := filepath.Join(root, ".cluster", "bin", "shop")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", shop, "./tests/shop")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the shop: %v\n%s", err, out)
	}
	cmd := alice.Command(context.WithoutCancel(t.Context()), harness.User, "env", "POD_NAME=alice", shop, "pricing")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	price := func(headers ...string) string {
		t.Helper()
		args := []string{"curl", "-sS", "-m", "5", "http://front.shop/price/winch"}
		for _, header := range headers {
			args = append(args, "-H", header)
		}
		return alice.Run(t, args...)
	}
	inCluster := "says pricing-"
	if got := price("baggage: fairlead=blue"); !strings.Contains(got, inCluster) {
		t.Fatalf("before: %s", got)
	}
	alice.intercept(t, "pricing", "-n", "shop", "--key", "blue", "--port", "9090:9090")
	harness.Eventually(t, 10*time.Second, "the laptop tells the price", func() error {
		if got := price("baggage: fairlead=blue"); !strings.Contains(got, "says alice") {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	for range 5 {
		if got := price(); !strings.Contains(got, inCluster) {
			t.Errorf("without the key: %s", got)
		}
		if got := price(blue); !strings.Contains(got, "says alice") {
			t.Errorf("with the header: %s", got)
		}
	}
	alice.leave(t)
	if got := price("baggage: fairlead=blue"); !strings.Contains(got, inCluster) {
		t.Errorf("after leaving: %s", got)
	}
}

// TestOneBesideAll: where the gateway's owner allows it, one person's requests are taken out of what another has all of.
func TestOneBesideAll(t *testing.T) {
	gatewayValue(t, "intercepts.personalBesideAll", "true", "false")
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	bob.serve(t, 3000)
	alice.intercept(t, "lab", "--all", "--port", "3000:web")
	bob.intercept(t, "lab", "--key", "bob", "--port", "3000:web")
	answered := func(bobs, others string) {
		t.Helper()
		for range 6 { // every pod has its turn
			for header, server := range map[string]string{"x-fairlead: bob": bobs, "x-none: 1": others} {
				if got := alice.whoAnswers(t, "http://lab.lab/", header); !strings.HasPrefix(got, server) {
					t.Errorf("with %q %s answered", header, got)
				}
			}
		}
	}
	answered("bob", "alice")
	alice.leave(t)
	answered("bob", "lab-")
}

// TestAnotherEndsIt: whoever may change the gateway may end the intercepts of others.
func TestAnotherEndsIt(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	if r := env.Laptop(1).TryAs(t, "root", "fairlead", "leave", "--owner", "alice", "-n", "lab", "lab"); r.Status != 0 {
		t.Fatalf("%s", r)
	}
	for range 6 {
		if got := alice.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") {
			t.Errorf("%s answered", got)
		}
	}
	harness.Eventually(t, 5*time.Second, "its owner hears of it", func() error {
		for _, a := range alice.intercepts(t) {
			if a.Phase != "Ended" {
				return fmt.Errorf("%+v", a)
			}
		}
		return nil
	})
}
