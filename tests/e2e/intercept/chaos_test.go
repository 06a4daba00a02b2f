// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// chaosVariable names the environment variable that sets how long the chaos, and the coming and going, lasts.
const chaosVariable = "FAIRLEAD_E2E_CHAOS"

// clock is how the lab's load writes times.
const clock = "15:04:05.000"

// postsPerReset is how many POSTs on busy kept connections there must be, at least, for each one that is reset by moving these.
const postsPerReset = 20_000

// latePerKill bounds how many requests that began after a kill was ordered are cut off by it, on average over all. The order takes
// some 50 ms to reach the process; who comes after that must not find a dying one.
const latePerKill = 1

// cutByKill reports whether a request was cut off while a sidecar was killed: its bytes were in that process, nobody else has
// them, and its client does not repeat it. It is late if it began after the kill was ordered: those before were surely inside,
// and on a busy machine many can be.
func cutByKill(failure string, kills [][2]time.Time) (cut, late bool) {
	text, rest, _ := strings.Cut(failure, " after ")
	took, _, _ := strings.Cut(rest, ":")
	began, err := time.Parse(clock, text)
	lasted, unclear := time.ParseDuration(took)
	if err != nil || unclear != nil || !strings.Contains(failure, "reset by") && !strings.Contains(failure, "EOF") {
		return false, false
	}
	const margin = 50 * time.Millisecond
	for _, kill := range kills {
		from, _ := time.Parse(clock, kill[0].Format(clock))
		to, _ := time.Parse(clock, kill[1].Format(clock))
		ended := began.Add(lasted)
		if !began.After(to.Add(margin)) && !ended.Before(from) && !ended.After(to.Add(4*margin)) {
			return true, began.After(from)
		}
	}
	return false, false
}

// chaosTime is how long a test lasts that does the same all the time: usual, if the environment does not say otherwise.
func chaosTime(t *testing.T, usual time.Duration) time.Duration {
	text := os.Getenv(chaosVariable)
	if text == "" {
		return usual
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return length
}

// TestChaos keeps the shop under constant load while intercepts of every kind come and go, sidecars are killed, the gateway
// is deleted twice, a laptop drops off, and the local program is restarted. Not one request of others may fail, but for those
// that are inside a sidecar's process when that is killed and a POST on a connection that is being moved; the developer's own
// fall back to the app.
func TestChaos(t *testing.T) {
	length := chaosTime(t, 90*time.Second)
	alice, bob := connected(t, 0), connected(t, 1)
	front, direct := "http://"+serviceAddress(t, "shop", "front")+"/", "http://"+serviceAddress(t, "lab", "lab")+"/"
	for _, url := range []string{front, direct} { // the pods may have become ready just now
		harness.Eventually(t, 15*time.Second, "the node knows of "+url, func() error {
			return env.Cluster.Node(0).Command(t.Context(), "curl", "-sSf", "-m", "2", "-o", "/dev/null", url).Run()
		})
	}
	others := startLoad(t, lab, "load", front, "--rate", "200", "--field", "catalog.pod")
	own := startLoad(t, lab, "load", front, "--rate", "20", "--field", "catalog.server", "--header", "x-fairlead=blue")
	posts := startLoad(t, lab, "load", direct, "--rate", "50", "--post")

	ctx, end := context.WithTimeout(t.Context(), length)
	defer end()
	var all sync.WaitGroup
	every := func(pause time.Duration, do func(i int)) {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
					do(i)
				}
			}
		})
	}
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	begun := map[bool]int{}
	kinds := [][]string{
		{"catalog", "-n", "shop", "--key", "blue", "--port", "3000:http"},
		{"catalog", "-n", "shop", "--header", "x-fairlead~=blue|green", "--port", "3000:http"},
		{"catalog", "-n", "shop", "--key", "blue", "--path", "^=/", "--port", "3000:http", "--takeover", "none"},
		{"catalog", "-n", "shop", "--mirror", "--key", "blue", "--port", "3000:http"},
		{"lab", "-n", "lab", "--key", "blue", "--port", "3000:web"},
	}
	var mu sync.Mutex
	var kills [][2]time.Time // from when to when
	every(time.Second, func(i int) {
		r := alice.Try(t, append([]string{"fairlead", "intercept"}, kinds[i%len(kinds)]...)...)
		t.Logf("%s %v", time.Now().Format(clock), kinds[i%len(kinds)])
		mu.Lock()
		begun[r.Status == 0]++
		mu.Unlock()
		if r.Status != 0 {
			t.Logf("%s", r)
		}
		pause(time.Duration(2+rand.IntN(4)) * time.Second)
		alice.Try(t, "fairlead", "leave", "--all")
		t.Logf("%s left", time.Now().Format(clock))
	})
	every(5*time.Second, func(int) { // bob's traffic is all of a port that nobody else asks
		bob.Try(t, "fairlead", "intercept", "lab", "-n", "lab", "--all", "--port", "3001:raw")
		pause(5 * time.Second)
		bob.Try(t, "fairlead", "leave", "--all")
	})
	// A pod gets a new sidecar for so many that died, and then no more until it is replaced.
	every(max(11*time.Second, length/18), func(int) {
		for _, namespace := range []string{"shop", "lab"} {
			if sidecars := sidecarsOf(t, namespace); len(sidecars) > 0 {
				victim := sidecars[rand.IntN(len(sidecars))]
				began := time.Now()
				killSidecar(t, victim)
				mu.Lock()
				kills = append(kills, [2]time.Time{began, time.Now()})
				mu.Unlock()
				t.Logf("%s a sidecar in %s was killed", began.Format(clock), namespace)
			}
		}
	})
	for _, part := range []time.Duration{length / 3, 2 * length / 3} {
		all.Go(func() {
			pause(part)
			if err := env.Cluster.Kubernetes().CoreV1().Pods("fairlead").DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "fairlead.dev/active=true"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		pause(length / 2)
		machine := env.Cluster.Laptop(0)
		if err := machine.Unplug(context.Background()); err != nil {
			t.Error(err)
		}
		pause(8 * time.Second)
		if err := machine.Restore(context.Background()); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() { // the local program, restarted every 20 s
		for ctx.Err() == nil {
			short, cancel := context.WithTimeout(ctx, 20*time.Second)
			cmd := alice.Command(short, harness.User, lab, "serve", "--name", "alice", "--web", "127.0.0.1:3000", "--raw", "", "--udp", "", "--tap", "")
			_ = cmd.Run() // it is killed
			cancel()
			pause(500 * time.Millisecond)
		}
	})
	all.Wait()
	alice.leave(t)
	bob.leave(t)
	late := 0
	for name, l := range map[string]*load{"others through the front": others, "others who post": posts, "the developer's own": own} {
		result := l.stop(t)
		t.Logf("%s: %d requests, %d failed, slowest %.1f s, answered by %v, slow: %v", name, result.Requests, result.Failed, result.Slowest, result.Servers, result.Slow)
		var failures, cut []string
		for _, failure := range result.Failures {
			if ours, isLate := cutByKill(failure, kills); ours {
				cut = append(cut, failure)
				if isLate {
					late++
				}
			} else {
				failures = append(failures, failure)
			}
		}
		if len(cut) > 0 {
			t.Logf("%s: %d requests were inside a sidecar's process when that was killed:\n%s", name, len(cut), strings.Join(cut, "\n"))
		}
		// A kept connection is closed when it is idle, so that its caller opens a new one. A request that is on the wire at that
		// moment is reset, as with every server that closes idle connections; clients repeat those that they may, which a
		// POST is not.
		moved := slices.IndexFunc(failures, func(failure string) bool {
			return strings.Contains(failure, "Post ") && strings.Contains(failure, "reset by")
		})
		if moved >= 0 && len(failures) <= 1+result.Requests/postsPerReset {
			t.Logf("%s: reset while its connection was moved: %s", name, failures[moved])
			failures = slices.Delete(failures, moved, moved+1)
		}
		if len(failures) > 0 || result.Failed > len(result.Failures) {
			t.Errorf("%s: %d of %d failed:\n%s", name, result.Failed, result.Requests, strings.Join(failures, "\n"))
		}
	}
	if t.Logf("%d requests that began after a kill was ordered were cut off by one of %d", late, len(kills)); late > latePerKill*len(kills) {
		t.Error("that is too many: they found a process that was dying")
	}
	t.Logf("intercepts begun: %d, not: %d", begun[true], begun[false])
	if begun[true] <= begun[false] {
		t.Errorf("of %d intercepts %d did not begin", begun[true]+begun[false], begun[false])
	}
}
