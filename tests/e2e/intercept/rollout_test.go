// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"strings"
	"testing"
	"time"
)

// TestRolloutsUnderLoad replaces all pods twice while requests and datagrams come. The app leaves as it should: it answers for
// as long as callers may still be sent to it, so that without Fairlead nothing is lost, and with it nothing either. Sidecars are
// told to end at the very moment at which their pod begins to, and go on for as long as the app does. Others only GET: a POST that
// meets the end of the app's own connection is lost, with Fairlead or without.
func TestRolloutsUnderLoad(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	change := func(spec string) {
		t.Helper()
		alice.kubectlAdmin(t, "-n", "lab", "patch", "deployment/lab", "-p", `{"spec":{"template":{"spec":`+spec+`}}}`)
		alice.kubectlAdmin(t, "-n", "lab", "rollout", "status", "deployment/lab", "--timeout=60s")
	}
	t.Cleanup(func() {
		change(`{"terminationGracePeriodSeconds":3,"containers":[{"name":"lab","lifecycle":null}]}`)
		restoreLab(t)
	})
	change(`{"terminationGracePeriodSeconds":12,"containers":[{"name":"lab","lifecycle":{"preStop":{"sleep":{"seconds":4}}}}]}`)
	time.Sleep(5 * time.Second) // until the pods of before, which leave as they like, are gone

	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	alice.intercept(t, "lab", "--all", "--port", "3003:echo")
	address := serviceAddress(t, "lab", "lab")
	loads := map[string]*load{
		"others' requests": startLoad(t, lab, "load", "--rate", "100", "http://"+address+"/"),
		"alice's requests": startLoad(t, lab, "load", "--rate", "50", "--header", "x-fairlead=blue", "http://"+address+"/"),
		"alice's POSTs":    startLoad(t, lab, "load", "--post", "--rate", "50", "--header", "x-fairlead=blue", "http://"+address+"/"),
		"alice's HTTP/2":   startLoad(t, lab, "load", "--http2", "--post", "--rate", "50", "--header", "x-fairlead=blue", "http://"+address+"/"),
		"datagrams":        startLoad(t, lab, "load", "--rate", "100", "udp://"+address+":7007"),
	}
	for range 2 {
		alice.kubectlAdmin(t, "-n", "lab", "rollout", "restart", "deployment/lab")
		alice.kubectlAdmin(t, "-n", "lab", "rollout", "status", "deployment/lab", "--timeout=60s")
		time.Sleep(5 * time.Second)
	}
	for of, load := range loads {
		r := load.stop(t)
		t.Logf("%s: %d, slowest %.2f s, answered by %v", of, r.Requests, r.Slowest, r.Servers)
		if r.Failed > 0 {
			t.Errorf("%s: %d of %d failed:\n%s", of, r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
		}
		// A pod may be ready a moment before its sidecar is; until then the app answers, and on a connection that is never idle it
		// goes on to, which may be the only one of HTTP/2.
		if own := r.Servers[alice.name]; (of == "alice's requests" || of == "alice's POSTs") && own < r.Requests*85/100 {
			t.Errorf("of %s her program got only %d of %d", of, own, r.Requests)
		}
		if others := of == "others' requests"; others != (r.Servers[alice.name] == 0) {
			t.Errorf("%s were answered by %v", of, r.Servers)
		}
	}
}
