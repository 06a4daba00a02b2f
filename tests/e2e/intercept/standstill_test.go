// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestSidecarStandsStill: its callers wait for the app, not for a process that does not run, and it has them again when it does.
func TestSidecarStandsStill(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--all", "--port", "3000:web")
	sidecars := sidecarsOf(t, "lab")
	if len(sidecars) < 3 {
		harness.Eventually(t, 5*time.Second, "all sidecars are said to run", func() error {
			if sidecars = sidecarsOf(t, "lab"); len(sidecars) < 3 {
				return fmt.Errorf("%d do", len(sidecars))
			}
			return nil
		})
	}
	goOn := func() {
		for _, sidecar := range sidecars {
			signalSidecar(t, sidecar, "CONT", ":")
		}
	}
	t.Cleanup(goOn) // before leaving, which they are to hear of
	for _, sidecar := range sidecars {
		signalSidecar(t, sidecar, "STOP", ":")
	}
	answers := func(who string) func() error {
		return func() error {
			for range 6 {
				r := alice.Try(t, "curl", "-sS", "-m", "0.5", "http://lab.lab/")
				if !strings.Contains(r.Stdout, `"server":"`+who) {
					return fmt.Errorf("%s", r)
				}
			}
			return nil
		}
	}
	t.Logf("the app answered %v after the sidecars stood still", harness.Eventually(t, 3*time.Second, "the app answers", answers("lab-")))
	goOn()
	t.Logf("the laptop answered %v after they went on", harness.Eventually(t, 20*time.Second, "the laptop answers again", answers("alice")))
}
