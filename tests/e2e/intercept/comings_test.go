// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// comings is how long intercepts come and go in TestEveryProtocolWhileInterceptsComeAndGo.
const comings = 30 * time.Second

// otherServer is what a check says that was answered as it should be, but by another server than a moment before.
var otherServer = regexp.MustCompile(`got .*\b(lab-[a-z0-9-]+|alice)\b.*, want `)

// TestEveryProtocolWhileInterceptsComeAndGo makes the checks of the conformance table without a pause, from the laptop and from
// the cluster, for who is meant and who is not, while an intercept begins and ends all the time. Who answers may change
// within a check, because connections are moved over; nothing may break, be lost or wait in vain, and alice's program answers
// nobody else.
func TestEveryProtocolWhileInterceptsComeAndGo(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	address := serviceAddress(t, "lab", "lab")
	until := time.Now().Add(chaosTime(t, comings))
	var mu sync.Mutex
	made := map[string]int{}
	const others = "others"
	check := func(from, of string, command func() *exec.Cmd) {
		from += ", " + of
		for time.Now().Before(until) {
			began := time.Now()
			out, err := command().Output()
			var outcomes []outcome
			if err == nil {
				err = json.Unmarshal(out, &outcomes)
			}
			if err != nil {
				t.Errorf("checks from %s: %v\n%s", from, err, out)
				return
			}
			mu.Lock()
			for _, o := range outcomes {
				made[from]++
				if o.Error != "" && !otherServer.MatchString(o.Error) {
					t.Errorf("%s, checks from %s: %s: %s", began.Format(clock), from, o.Check, o.Error)
				}
				if of == others && strings.Contains(o.Server+o.Error, alice.name) {
					t.Errorf("%s, checks from %s: %s came to the laptop: %s %s", began.Format(clock), from, o.Check, o.Server, o.Error)
				}
			}
			mu.Unlock()
		}
	}
	// Datagrams are not repeated, and may be lost where both processors are busy.
	flags := func(service, header string) []string {
		args := append([]string{lab, "check"}, labAddresses(service)[:6]...)
		if header != "" {
			args = append(args, "--header", header)
		}
		return args
	}
	var all sync.WaitGroup
	for of, header := range map[string]string{alice.name: "x-fairlead=blue", others: ""} {
		all.Go(func() {
			check("the laptop", of, func() *exec.Cmd { return alice.Command(t.Context(), harness.User, flags("lab.lab", header)...) })
		})
		all.Go(func() {
			check("the cluster", of, func() *exec.Cmd { return env.Cluster.Node(0).Command(t.Context(), flags(address, header)...) })
		})
	}
	begun := 0
	t.Cleanup(func() { alice.leave(t) })
	for ; time.Now().Before(until); begun++ {
		alice.Run(t, "fairlead", "intercept", "lab", "--key", "blue", "--port", "3000:web", "--port", "3001:raw", "--port", "3002:tap")
		time.Sleep(time.Duration(begun%5) * 200 * time.Millisecond)
		alice.leave(t)
		time.Sleep(time.Duration(begun%4) * 200 * time.Millisecond)
	}
	all.Wait()
	t.Logf("%d intercepts; checks made: %v", begun, made)
	for from, n := range made {
		if n < 50 {
			t.Errorf("only %d checks were made from %s", n, from)
		}
	}
}
