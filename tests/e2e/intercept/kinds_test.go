// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestWorkloads intercepts every shape that pods come in, all traffic and one key each, and wants no pod to be replaced or
// restarted.
func TestWorkloads(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	before, restarted := restarts(t, "kinds")
	pod := func(app string) string {
		t.Helper()
		pods, err := env.Cluster.Kubernetes().CoreV1().Pods("kinds").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil || len(pods.Items) == 0 {
			t.Fatalf("pods of %s: %v", app, err)
		}
		return pods.Items[0].Status.PodIP
	}
	for _, c := range []struct{ name, workload, port, url string }{
		{"StatefulSet, headless, named port", "sts/set", "3000:web", "http://set-0.set.kinds:8080/"},
		{"DaemonSet", "ds/daemon", "3000:web", "http://daemon.kinds/"},
		{"ReplicaSet", "rs/replica", "3000:web", "http://replica.kinds/"},
		{"Job without a Service", "job/job", "3000:8080", "http://" + pod("job") + ":8080/"},
		{"bare pod", "pod/single", "3000:web", "http://single.kinds/"},
		{"two containers, the first", "deploy/two", "3000:admin", "http://two.kinds:9000/"},
		{"two containers, the second", "deploy/two", "3000:web", "http://two.kinds/"},
		{"bound to localhost", "deploy/local", "3000:8080", "http://" + pod("local") + ":8080/"},
		{"bound to the pod's address", "deploy/podip", "3000:web", "http://podip.kinds/"},
		{"by the Service's name", "podip", "3000:80", "http://podip.kinds/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range [][]string{{"--all"}, {"--key", "blue"}} {
				a := alice.intercept(t, append([]string{c.workload, "-n", "kinds", "--port", c.port}, kind...)...)
				if a.Phase != "Active" || a.Redirect != "Instant" {
					t.Errorf("%+v", a)
				}
				if got := alice.whoAnswers(t, c.url, blue); got != "alice" {
					t.Errorf("%v: %s answered", kind, got)
				}
				if kind[0] == "--key" {
					if got := alice.whoAnswers(t, c.url, "x-fairlead: red"); got == "alice" {
						t.Errorf("%v: %s answered for another key", kind, got)
					}
				}
				alice.leave(t)
			}
		})
	}
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"host network", "host", []string{"deploy/hostnet", "--port", "3000:web"}},
		{"no such workload", "nothere", []string{"nothere", "--port", "3000:80"}},
		{"no such port", "9999", []string{"deploy/podip", "--port", "3000:9999x"}},
		{"several ports and none chosen", "--port", []string{"deploy/two"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := alice.Try(t, append([]string{"fairlead", "intercept", "-n", "kinds", "--all"}, c.args...)...)
			if r.Status == 0 || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("%s", r)
			}
			if left := alice.intercepts(t); len(left) > 0 {
				t.Errorf("it stays: %+v", left)
				alice.leave(t)
			}
		})
	}
	if after, again := restarts(t, "kinds"); after != before || again != restarted {
		t.Errorf("pods before: %s with %d restarts, after: %s with %d", before, restarted, after, again)
	}
}

// TestRestrictedNamespace: Pod Security allows no capability there.
func TestRestrictedNamespace(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	before := settled(t, "strict")
	pods, _ := restarts(t, "strict")
	for _, url := range []string{"http://strict.strict/", "http://strict-number.strict/"} {
		t.Run(url, func(t *testing.T) {
			a := alice.intercept(t, "deploy/strict", "-n", "strict", "--key", "blue", "--port", "3000:web")
			if a.Redirect != "Unprivileged" || !strings.Contains(a.RedirectReason, "restricted") || a.PodsCovered != 2 {
				t.Errorf("%+v", a)
			}
			harness.Eventually(t, 5*time.Second, "the laptop answers", alice.answers(t, "alice", url, blue))
			for range 10 {
				if got := alice.whoAnswers(t, url, "x-fairlead: red"); !strings.HasPrefix(got, "strict-") {
					t.Errorf("%s answered for another key", got)
				}
			}
			alice.leave(t)
			for range 10 {
				if got := alice.whoAnswers(t, url, blue); !strings.HasPrefix(got, "strict-") {
					t.Errorf("%s answered after leaving", got)
				}
			}
		})
	}
	t.Run("forced instant", func(t *testing.T) {
		r := alice.Try(t, "fairlead", "intercept", "deploy/strict", "-n", "strict", "--all", "--port", "3000:web", "--redirect", "instant")
		if r.Status == 0 || !strings.Contains(r.Stderr, "restricted") {
			t.Errorf("%s", r)
		}
	})
	t.Run("only a headless Service", func(t *testing.T) {
		r := alice.Try(t, "fairlead", "intercept", "deploy/lonely", "-n", "strict", "--all", "--port", "3000:web")
		if r.Status == 0 || !strings.Contains(r.Stderr, "Service") {
			t.Errorf("%s", r)
		}
	})
	if after, _ := restarts(t, "strict"); after != pods {
		t.Errorf("pods were replaced: %s, now %s", pods, after)
	}
	asBefore(t, before, "strict")
}

// TestUnprivilegedOnRequest forces the way that needs no capability where the other would do.
func TestUnprivilegedOnRequest(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	before := settled(t, "lab")
	a := alice.intercept(t, "lab", "--redirect", "unprivileged", "--all", "--port", "3000:web", "--port", "3001:raw")
	if a.Redirect != "Unprivileged" {
		t.Errorf("%+v", a)
	}
	outcomes := alice.check(t, append(labAddresses("lab.lab"), "--only", "http1/")...)
	for name, o := range outcomes {
		if name != "http1/bytes-as-sent" && (o.Server != "alice" || o.Error != "") {
			t.Errorf("%+v", o)
		}
	}
	alice.leave(t)
	asBefore(t, before, "lab")
}

// TestLeavesNoTrace: while an instant intercept is active nothing differs that a manifest says, and after leaving nothing but
// the record of the ephemeral container.
func TestLeavesNoTrace(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	before := settled(t, "lab")
	alice.intercept(t, "lab", "--all", "--port", "3000:web")
	asBefore(t, before, "lab")
	leave := alice.Try(t, "fairlead", "leave", "lab")
	if leave.Status != 0 || !strings.Contains(leave.Stdout, "ephemeral") {
		t.Errorf("the record that stays is not told: %s", leave)
	}
	for range 6 {
		if got := alice.whoAnswers(t, "http://lab.lab/"); !strings.HasPrefix(got, "lab-") {
			t.Errorf("%s answered after leaving", got)
		}
	}
	asBefore(t, before, "lab")
	if out := alice.kubectlAdmin(t, "get", "intercepts", "-A", "-o", "name"); out != "" {
		t.Errorf("left in the cluster: %s", out)
	}
	if out := alice.kubectlAdmin(t, "get", "mutatingwebhookconfiguration", "fairlead-gateway", "-o", "jsonpath={.webhooks}"); out != "" && out != "[]" {
		t.Errorf("the webhook stays: %s", out)
	}
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods("lab").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Spec.EphemeralContainers {
			if allowed := []corev1.Capability{"BPF", "NET_ADMIN"}; container.SecurityContext == nil || len(container.SecurityContext.Capabilities.Add) > len(allowed) {
				t.Errorf("pod %s: %s has %+v", pod.Name, container.Name, container.SecurityContext)
			}
		}
	}
}
