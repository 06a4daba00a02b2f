// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// requests are those that the daemon has recorded of the lab.
func (d developer) requests(t *testing.T) []localapi.Record {
	t.Helper()
	var all localapi.Records
	if err := json.Unmarshal([]byte(d.Run(t, "fairlead", "requests", "lab", "--output", "json")), &all); err != nil {
		t.Fatal(err)
	}
	return all.Records
}

// TestRequestsAreTold: every request that comes to the laptop is told, in each protocol; and those that fall back, with what
// they were and why.
func TestRequestsAreTold(t *testing.T) {
	alice := connected(t, 0)
	stop := alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	if got := alice.whoAnswers(t, "http://lab.lab/orders?secret=1", blue); got != "alice" {
		t.Fatalf("%s answers", got)
	}
	one := func(path, went string) (found localapi.Record) {
		t.Helper()
		harness.Eventually(t, 5*time.Second, path+" is told", func() error {
			all := alice.requests(t)
			for _, r := range all {
				if r.Path == path && r.Went == went {
					found = r
					return nil
				}
			}
			return fmt.Errorf("%+v", all)
		})
		return found
	}
	r := one("/orders", "laptop")
	if r.Method != "GET" || r.Status != 200 || r.Protocol != "HTTP/1.1" || r.Host != "lab.lab" || r.Millis <= 0 || r.Open || r.Client == "" || r.Received == 0 || r.Sent == 0 {
		t.Errorf("%+v", r)
	}
	alice.check(t, append(labAddresses("lab.lab"), "--header", "x-fairlead=blue")...)
	var all []localapi.Record
	harness.Eventually(t, 5*time.Second, "each protocol is told", func() error {
		all = alice.requests(t)
		for _, wanted := range []string{"HTTP/1.1", "HTTP/2", "gRPC", "WebSocket"} {
			if !slices.ContainsFunc(all, func(r localapi.Record) bool { return r.Protocol == wanted }) {
				return fmt.Errorf("no %s among %d requests", wanted, len(all))
			}
		}
		return nil
	})
	for _, r := range all {
		if strings.Contains(r.Path, "?") || strings.Contains(r.Why, "could not be read") {
			t.Errorf("%+v", r)
		}
	}
	stop()
	if got := alice.whoAnswers(t, "http://lab.lab/fallen", blue); got == "alice" {
		t.Fatal("a program that has ended answers")
	}
	if r := one("/fallen", "cluster"); r.Method != "GET" || !strings.Contains(r.Why, "nothing listens on 127.0.0.1:3000") || r.Client == "" {
		t.Errorf("%+v", r)
	}
}
