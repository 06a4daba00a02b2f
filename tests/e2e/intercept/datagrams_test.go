// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestDatagramsWhileInterceptsComeAndGo has clients of UDP in the cluster and on the laptop while an intercept of their port
// begins and ends all the time. Datagrams that are lost are not repeated; none may be.
func TestDatagramsWhileInterceptsComeAndGo(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	inCluster := startLoad(t, lab, "load", "--rate", "200", "udp://"+serviceAddress(t, "lab", "lab")+":7007")
	var stdout bytes.Buffer
	onLaptop := alice.Command(t.Context(), harness.User, lab, "load", "--rate", "200", "--for", chaosTime(t, comings).String(), "udp://lab.lab:7007")
	onLaptop.Stdout = &stdout
	if err := onLaptop.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alice.leave(t) })
	begun := 0
	for until := time.Now().Add(chaosTime(t, comings)); time.Now().Before(until); begun++ {
		alice.Run(t, "fairlead", "intercept", "lab", "--all", "--port", "3003:echo")
		time.Sleep(time.Duration(begun%5) * 200 * time.Millisecond)
		alice.leave(t)
		// Once in a while for longer than the sidecar keeps the sockets.
		time.Sleep(time.Duration(begun%4)*200*time.Millisecond + time.Duration(begun%8/7)*6*time.Second)
	}
	results := map[string]loadResult{"the cluster": inCluster.stop(t)}
	if err := onLaptop.Wait(); err != nil {
		t.Fatalf("the load on the laptop: %v", err)
	}
	var result loadResult
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	results["the laptop"] = result
	for from, r := range results {
		t.Logf("%d intercepts; from %s: %d datagrams, answered by %v, slowest %.2f s", begun, from, r.Requests, r.Servers, r.Slowest)
		if r.Failed > 0 {
			t.Errorf("from %s %d of %d are lost:\n%s", from, r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
		}
		if r.Servers[alice.name] == 0 || len(r.Servers) < 2 {
			t.Errorf("from %s they were answered by %v", from, r.Servers)
		}
	}
}
