// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// objectIsGone waits until the cluster has no object of an intercept any more.
func (d developer) objectIsGone(t *testing.T, limit time.Duration, name string) {
	t.Helper()
	harness.Eventually(t, limit, "the object is gone", func() error {
		if out := d.kubectlAdmin(t, "-n", "lab", "get", "intercept", name, "--ignore-not-found", "-o", "name"); out != "" {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// eventsOf are the reasons of what the gateway told of an intercept.
func eventsOf(t *testing.T, name string) (reasons []string) {
	t.Helper()
	list, err := env.Cluster.Kubernetes().EventsV1().Events("lab").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range list.Items {
		if event.Regarding.Kind == "Intercept" && event.Regarding.Name == name {
			reasons = append(reasons, event.Reason)
		}
	}
	return reasons
}

func (d developer) told(t *testing.T, name string, reasons ...string) {
	t.Helper()
	harness.Eventually(t, 10*time.Second, fmt.Sprintf("events tell of %v", reasons), func() error {
		told := eventsOf(t, name)
		for _, reason := range reasons {
			if !slices.Contains(told, reason) {
				return fmt.Errorf("they tell of %v", told)
			}
		}
		return nil
	})
}

// TestExpiry: an intercept ends by itself, puts everything back, and says why it ended.
func TestExpiry(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	before := settled(t, "lab")
	const life = 10 * time.Second
	asked := time.Now()
	a := alice.intercept(t, "lab", "--all", "--port", "3000:web", "--expires", life.String())
	if got := bob.whoAnswers(t, "http://lab.lab/"); got != "alice" {
		t.Errorf("%s answered", got)
	}
	harness.Eventually(t, life+5*time.Second, "the app answers again", bob.answers(t, "lab-", "http://lab.lab/"))
	took := time.Since(asked)
	t.Logf("the app answered %v after an intercept for %v was asked for", took, life)
	if took < life-time.Second { // the API server dates objects in whole seconds
		t.Error("that is too soon")
	}
	asBefore(t, before, "lab")
	harness.Eventually(t, 10*time.Second, "the owner is told", func() error {
		r := alice.Try(t, "fairlead", "status")
		if !strings.Contains(r.Stdout, "expired") {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	alice.told(t, a.Name, "Active", "Ended")
	alice.objectIsGone(t, 75*time.Second, a.Name)
}

// TestAwayForLong: an intercept whose laptop stays away is suspended, and removed when the gateway has waited long enough.
func TestAwayForLong(t *testing.T) {
	gatewayValue(t, "intercepts.removeAfter", "12s", "15m")
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	before := settled(t, "lab")
	a := alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	machine := env.Cluster.Laptop(0)
	t.Cleanup(func() {
		if err := machine.Restore(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := machine.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := false
	took := harness.Eventually(t, 25*time.Second, "it is removed", func() error {
		list := bob.intercepts(t)
		seen = seen || len(list) == 1 && list[0].Phase == "Suspended"
		if len(list) > 0 && list[0].Phase != "Ended" {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	t.Logf("removed %v after the laptop was unplugged", took)
	if !seen {
		t.Error("it was never suspended")
	}
	if got := bob.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") {
		t.Errorf("%s answered", got)
	}
	bob.told(t, a.Name, "Active", "Suspended", "Ended")
	bob.objectIsGone(t, 75*time.Second, a.Name)
	if err := machine.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 10*time.Second, "the laptop reaches the cluster", func() error {
		if r := alice.TryAs(t, "root", "kubectl", "get", "--raw", "/readyz"); r.Status != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	asBefore(t, before, "lab")
	harness.Eventually(t, 10*time.Second, "its owner hears of it", func() error {
		for _, i := range alice.intercepts(t) {
			if i.Phase != "Ended" {
				return fmt.Errorf("%+v", i)
			}
		}
		return nil
	})
}

// TestUninstallWhileIntercepted: the gateway goes with everything that it changed; callers notice nothing.
func TestUninstallWhileIntercepted(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	labs, strict, pods := settled(t, "lab"), settled(t, "strict"), podSpecs(t, "lab", "strict")
	callers := startLoad(t, lab, "load", "http://"+serviceAddress(t, "lab", "lab")+"/", "--rate", "50", "--header", "x-fairlead=blue")
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	alice.intercept(t, "deploy/strict", "-n", "strict", "--key", "blue", "--port", "3000:web")
	t.Cleanup(func() {
		if r := env.Laptop(0).TryAs(t, "root", "fairlead", "gateway", "install"); r.Status != 0 {
			t.Errorf("install the gateway again: %s", r)
		}
	})
	if r := alice.TryAs(t, "root", "fairlead", "gateway", "uninstall"); r.Status == 0 || !strings.Contains(r.Stderr, "--force") {
		t.Errorf("it should be refused: %s", r)
	}
	if r := alice.TryAs(t, "root", "fairlead", "gateway", "uninstall", "--force"); r.Status != 0 {
		t.Fatalf("%s", r)
	}
	time.Sleep(time.Second) // load that comes after it
	result := callers.stop(t)
	t.Logf("%+v", result)
	if result.Failed > 0 || result.Servers["alice"] == 0 {
		t.Errorf("callers noticed: %+v", result)
	}
	asBefore(t, labs, "lab")
	asBefore(t, strict, "strict")
	for _, change := range changes(pods, podSpecs(t, "lab", "strict")) {
		t.Error(change)
	}
}
