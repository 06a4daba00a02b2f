// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"
	"time"
)

// leniency is how many times as long as it should a thing may take before a test fails: machines that run tests are slow, and
// busy with other things.
const leniency = 4

// Eventually tries until try returns no error, and returns how long that took. It fails the test with the last error when
// that is much longer than limit, and says so when it is longer. It is for what happens elsewhere, in processes that the test
// can't ask to be told.
func Eventually(t testing.TB, limit time.Duration, what string, try func() error) time.Duration {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	started := time.Now()
	for {
		err := try()
		took := time.Since(started)
		switch {
		case err == nil && took > limit:
			t.Logf("%s: after %v; it should be %v at most", what, took.Round(time.Millisecond), limit)
			return took
		case err == nil:
			return took
		case took > leniency*limit:
			t.Fatalf("%s: not within %v, %d times what it should be: %v", what, leniency*limit, leniency, err)
		}
		<-tick.C // also in clean-ups, when the test's own context is done
	}
}

// Always fails the test when try returns an error at any moment within the time.
func Always(t testing.TB, during time.Duration, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(during); time.Now().Before(deadline); <-tick.C {
		if err := try(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
