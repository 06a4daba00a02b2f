// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestNativeSidecars: with the chart's value for it, pods that are made meanwhile are born with their sidecar.
func TestNativeSidecars(t *testing.T) {
	gatewayValue(t, "intercepts.newPods", "Native", "Ephemeral")
	alice := connected(t, 0)
	alice.serve(t, 3000)
	t.Cleanup(func() {
		alice.kubectlAdmin(t, "-n", "lab", "rollout", "restart", "deployment/lab") // to be rid of the sidecars
		restoreLab(t)
	})
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	alice.kubectlAdmin(t, "-n", "lab", "rollout", "restart", "deployment/lab")
	alice.kubectlAdmin(t, "-n", "lab", "rollout", "status", "deployment/lab", "--timeout=60s")
	covered := func(what string) {
		t.Helper()
		harness.Eventually(t, 30*time.Second, what, func() error {
			for _, a := range alice.intercepts(t) {
				if a.PodsCovered != 3 || a.PodsReady != 3 || a.Phase != "Active" {
					return fmt.Errorf("%+v", a)
				}
			}
			for range 6 { // each has its turn, once nodes know which pods there are
				r := alice.Try(t, "curl", "-sS", "-m", "1", "-H", blue, "http://lab.lab/")
				if !strings.Contains(r.Stdout, `"server":"alice"`) {
					return fmt.Errorf("%s", r)
				}
			}
			return nil
		})
	}
	covered("pods that were born with their sidecar are covered")
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods("lab").List(t.Context(), metav1.ListOptions{LabelSelector: "app=lab", FieldSelector: "status.phase=Running"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil && (len(pod.Spec.InitContainers) != 1 || len(pod.Spec.EphemeralContainers) != 0) {
			t.Errorf("pod %s has %d init containers and %d ephemeral ones", pod.Name, len(pod.Spec.InitContainers), len(pod.Spec.EphemeralContainers))
		}
	}
	callers := startLoad(t, lab, "load", "http://"+serviceAddress(t, "lab", "lab")+"/", "--rate", "20")
	sidecars := sidecarsOf(t, "lab")
	if len(sidecars) == 0 {
		t.Fatal("no sidecar is said to run")
	}
	killed := time.Now()
	killSidecar(t, sidecars[0]) // the others answer while its pod is not ready
	kills := [][2]time.Time{{killed, time.Now()}}
	covered("the sidecar that was killed is there again")
	for _, failure := range callers.stop(t).Failures {
		if cut, late := cutByKill(failure, kills); !cut || late {
			t.Errorf("a caller noticed: %s", failure)
		}
	}
	alice.leave(t)
	for range 6 {
		if got := alice.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") {
			t.Errorf("%s answered after leaving", got)
		}
	}
}
