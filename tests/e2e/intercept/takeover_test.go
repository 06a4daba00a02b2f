// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestTakeover: what becomes of a connection in use when an intercept begins.
func TestTakeover(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	const sent = 1000 // events in 20 s
	for _, c := range []struct {
		mode   string
		broken bool
	}{{"force", true}, {"none", false}, {"gentle", false}} {
		t.Run(c.mode, func(t *testing.T) {
			// The app sends events all the time: the connection is never idle.
			// Its caller is on no node: what a pod's own node asks it is left alone, because the kubelet asks from there.
			events := alice.Command(t.Context(), harness.User, "curl", "-sS", "-N", fmt.Sprintf("http://lab.lab/events?n=%d", sent))
			out, err := events.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := events.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { events.Process.Kill() })
			count := 0
			lines := bufio.NewScanner(out)
			for count < 10 && lines.Scan() {
				if strings.HasPrefix(lines.Text(), "data:") {
					count++
				}
			}
			a := alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web", "--takeover", c.mode)
			if !c.broken {
				harness.Eventually(t, 5*time.Second, "that it bypasses the intercept is told", func() error {
					for _, a := range alice.intercepts(t) {
						if slices.ContainsFunc(a.Notes, func(note string) bool { return strings.Contains(note, "open before") }) {
							return nil
						}
					}
					return fmt.Errorf("%+v", a.Notes)
				})
			}
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "data:") {
					count++
				}
			}
			if err := events.Wait(); (err != nil) != c.broken || !c.broken && count != sent {
				t.Errorf("%d events came, then: %v", count, err)
			}
			alice.leave(t)
		})
	}
}
