// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"
	"time"
)

// Eventually tries until try returns no error, and fails the test with the last error when that takes longer than
// limit. It is for what happens elsewhere, in processes that the test can't ask to be told.
func Eventually(t testing.TB, limit time.Duration, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		}
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
