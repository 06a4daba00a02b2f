// SPDX-License-Identifier: Apache-2.0

package page

import (
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// sample is how long processor time is taken; the kernel counts it in hundredths of a second.
const sample = 15 * time.Second

// TestWhatTheDaemonCosts prints what share of one processor the daemon takes while nothing happens: disconnected, connected, and
// with the page open. Time on a processor hardly depends on what else the machine does.
func TestWhatTheDaemonCosts(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Run(t, "fairlead", "open", "--print") // which starts the daemon
	cost(t, laptop, "disconnected")
	laptop.Connect(t)
	cost(t, laptop, "connected")
	requests := map[string]func() error{}
	for _, screen := range []string{"clusters", "workloads"} {
		requests["measure "+screen] = func() error { cost(t, laptop, "connected, the page shows "+screen); return nil }
	}
	visit(t, laptop, "idle.mjs", requests)
}

func cost(t *testing.T, laptop *harness.Laptop, when string) {
	t.Helper()
	took := func() time.Duration {
		used, err := laptop.DaemonCPU(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	time.Sleep(2 * time.Second) // what came before is over then
	before, began := took(), time.Now()
	time.Sleep(sample)
	t.Logf("daemon, %s: %.2f %% of a processor", when, 100*float64(took()-before)/float64(time.Since(began)))
}
