// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"testing"
	"time"
)

func TestTrimmer(t *testing.T) {
	now, datagrams := time.Unix(1000, 0), uint64(0)
	var trims trimmer
	for i, step := range []struct {
		moved uint64
		want  bool
	}{
		{0, false}, {3, false}, {trimBurst, false}, {trimBurst, false}, {trimQuiet + 1, false}, {3, true}, {3, false},
		{trimQuiet + 1, false}, {3, false}, {trimBurst, false}, {0, true}, {0, false},
	} {
		now, datagrams = now.Add(trimAfter), datagrams+step.moved
		if got := trims.due(now, datagrams); got != step.want {
			t.Errorf("step %d: got %v", i, got)
		}
		if trims.due(now.Add(time.Second), datagrams+trimBurst) {
			t.Errorf("step %d: asked too soon and got yes", i)
		}
	}
}
