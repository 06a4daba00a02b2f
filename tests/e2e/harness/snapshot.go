// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// settleLimit is how long the laptop may take until it is as before: what watches its files and links, such as
// systemd-resolved, follows a moment later.
const settleLimit = 5 * time.Second

// Snapshot is everything of the laptop's network that Fairlead could have changed, as text.
func (l *Laptop) Snapshot(t testing.TB) string {
	t.Helper()
	text, err := l.env.Cluster.Snapshot(l.index)
	if err != nil {
		t.Fatalf("take a snapshot of the laptop: %v", err)
	}
	return text
}

// AsBefore checks that the laptop is byte for byte as in a snapshot.
func (l *Laptop) AsBefore(t testing.TB, before string) {
	t.Helper()
	Eventually(t, settleLimit, "the laptop is as it was before", func() error {
		after := l.Snapshot(t)
		if after == before {
			return nil
		}
		return fmt.Errorf("-before +after:\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
	})
}
