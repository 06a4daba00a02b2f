// SPDX-License-Identifier: Apache-2.0

package gateway

import "testing"

func TestBurstWatch(t *testing.T) {
	const mib = 1 << 20
	var watch burstWatch
	for i, step := range []struct {
		total uint64
		over  bool
	}{
		{0, false}, {2 * mib, false}, {2 * mib, false}, // too little for a burst
		{40 * mib, false}, {80 * mib, false}, {80*mib + 100, true}, {80*mib + 200, false}, // one burst ends once
		{120 * mib, false}, {30 * mib, true}, // its peer has left
	} {
		if over := watch.over(step.total); over != step.over {
			t.Errorf("step %d: over is %v after %d bytes", i, over, step.total)
		}
	}
}
