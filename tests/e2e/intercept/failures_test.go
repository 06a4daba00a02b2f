// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestSidecarKilled wants the app to answer at once, and the intercept to come back by itself.
func TestSidecarKilled(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--all", "--port", "3000:web")
	for _, sidecar := range sidecarsOf(t, "lab") {
		killSidecar(t, sidecar)
	}
	for range 10 { // no error, whoever answers
		alice.whoAnswers(t, "http://lab.lab/")
	}
	harness.Eventually(t, 30*time.Second, "the intercept is active again", func() error {
		for _, a := range alice.intercepts(t) {
			if a.Phase != "Active" || a.PodsCovered != 3 {
				return fmt.Errorf("%+v", a)
			}
		}
		return alice.answers(t, "alice", "http://lab.lab/")()
	})
}

// TestLocalProgram: nobody listens on the laptop, then somebody does, then it ends.
func TestLocalProgram(t *testing.T) {
	alice := connected(t, 0)
	r := alice.Try(t, "fairlead", "intercept", "lab", "--key", "blue", "--port", "3000:web")
	t.Cleanup(func() { alice.leave(t) })
	if r.Status != 0 || !strings.Contains(r.Stdout+r.Stderr, "othing listens on 127.0.0.1:3000") {
		t.Errorf("%s", r)
	}
	if got := alice.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") {
		t.Errorf("%s answered", got)
	}
	if list := alice.intercepts(t); len(list) != 1 || list[0].Ports[0].Listening {
		t.Errorf("%+v", list)
	}
	stop := alice.serve(t, 3000)
	harness.Eventually(t, 5*time.Second, "the laptop answers", alice.answers(t, "alice", "http://lab.lab/", blue))
	stop()
	if got := alice.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") {
		t.Errorf("%s answered", got)
	}
	harness.Eventually(t, 10*time.Second, "what fell back is counted, and that nobody listens is shown", func() error {
		if list := alice.intercepts(t); len(list) != 1 || list[0].Counts.FallenBack == 0 || list[0].Ports[0].Listening {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
}

// TestLaptopAway: the link is unplugged; the app answers others all the time and the developer within 5 s; plugged in, the
// intercept is back by itself.
func TestLaptopAway(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	machine := env.Cluster.Laptop(0)
	if err := machine.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := machine.Restore(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for range 5 {
		if got := bob.whoAnswers(t, "http://lab.lab/", "x-other: 1"); !strings.HasPrefix(got, "lab-") {
			t.Errorf("%s answered", got)
		}
		if got := bob.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") { // curl waits 5 s
			t.Errorf("%s answered", got)
		}
	}
	harness.Eventually(t, 15*time.Second, "everybody sees that it is suspended", func() error {
		if list := bob.intercepts(t); len(list) != 1 || list[0].Phase != "Suspended" {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	if err := machine.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := harness.Eventually(t, 5*time.Second, "the laptop answers again", bob.answers(t, "alice", "http://lab.lab/", blue))
	t.Logf("the laptop answered %v after the link was back", took)
}

// TestDaemonKilled: kill -9 of the daemon ends the tunnel; connecting again takes the intercept up by itself.
func TestDaemonKilled(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	if err := alice.KillDaemon(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := bob.whoAnswers(t, "http://lab.lab/", blue); !strings.HasPrefix(got, "lab-") {
		t.Errorf("%s answered", got)
	}
	connected(t, 0)
	harness.Eventually(t, 15*time.Second, "the laptop answers again", bob.answers(t, "alice", "http://lab.lab/", blue))
}

// TestGatewayDeleted: the pod of the gateway goes; intercepts are there again with the next one.
func TestGatewayDeleted(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	if err := env.Cluster.Kubernetes().CoreV1().Pods("fairlead").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "fairlead.dev/active=true"}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 30*time.Second, "the laptop answers again", func() error {
		r := alice.Try(t, "curl", "-sS", "-m", "1", "-H", blue, "http://lab.lab/")
		if !strings.Contains(r.Stdout, `"server":"alice"`) {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

// TestDisconnectLeaves: disconnecting leaves, and says so.
func TestDisconnectLeaves(t *testing.T) {
	alice, bob := connected(t, 0), connected(t, 1)
	alice.serve(t, 3000)
	alice.intercept(t, "lab", "--all", "--port", "3000:web")
	alice.Disconnect(t)
	for range 6 {
		if got := bob.whoAnswers(t, "http://lab.lab/"); !strings.HasPrefix(got, "lab-") {
			t.Errorf("%s answered", got)
		}
	}
	if list := bob.intercepts(t); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// TestCommand runs a program with the workload's environment, and leaves when it ends, however it ends.
func TestCommand(t *testing.T) {
	alice := connected(t, 0)
	r := alice.Try(t, "fairlead", "intercept", "lab", "--key", "blue", "--port", "3000:web", "--", "sh", "-c", `echo "$COLOUR|$PASSWORD|$GREETING"; exit 7`)
	if r.Status != 7 || !strings.Contains(r.Stdout, "navy blue|p4$ 'quoted' word|hello 10.") && !strings.Contains(r.Stdout, "navy blue|p4$$ 'quoted' word|hello 10.") {
		t.Errorf("%s", r)
	}
	if list := alice.intercepts(t); len(list) > 0 {
		t.Errorf("it did not leave: %+v", list)
		alice.leave(t)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Cleanup(func() { alice.leave(t) })
			// The shell writes down its process and becomes the command.
			script := `echo $$ > ~/intercept.pid; exec fairlead intercept lab --key blue --port 3000:web -- sh -c 'echo $$ > ~/lab.pid; exec ` + lab + ` serve --name alice --web 127.0.0.1:3000 --raw= --udp= --tap='`
			t.Cleanup(func() { alice.Try(t, "sh", "-c", "kill -9 $(cat ~/lab.pid) 2>/dev/null; true") }) // it outlives kill -9 of its parent, as any program does
			cmd := alice.Command(context.WithoutCancel(t.Context()), harness.User, "sh", "-c", script)
			cmd.WaitDelay = time.Second
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, 15*time.Second, "the laptop answers", alice.answers(t, "alice", "http://lab.lab/", blue))
			kill := alice.Try(t, "sh", "-c", fmt.Sprintf("kill -%d $(cat ~/intercept.pid)", int(signal)))
			if kill.Status != 0 {
				t.Fatalf("%s", kill)
			}
			_ = cmd.Wait()
			harness.Eventually(t, 5*time.Second, "it has left", func() error {
				if list := alice.intercepts(t); len(list) > 0 {
					return fmt.Errorf("%+v", list)
				}
				return nil
			})
		})
	}
}

// TestEnvironment wants the container's variables in each format.
func TestEnvironment(t *testing.T) {
	alice := connected(t, 0)
	out := alice.Run(t, "fairlead", "env", "lab", "--format", "sh", "--show-secrets")
	for _, wanted := range []string{"COLOUR=", "navy blue", "GREETING=", "hello 10."} {
		if !strings.Contains(out, wanted) {
			t.Errorf("%q is not in\n%s", wanted, out)
		}
	}
	// A shell that reads it has the very value, quotes, dollars and all.
	got := alice.Run(t, "sh", "-c", "eval \"$(fairlead env lab --format sh --show-secrets)\"; printf %s \"$PASSWORD\"")
	if !strings.Contains(got, "'quoted' word") {
		t.Errorf("password is %q", got)
	}
}

// TestOpenConnections: callers with kept connections are moved over, nobody's request fails, and what remains is told.
func TestOpenConnections(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	began := time.Now()
	load := startLoad(t, lab, "load", "http://"+serviceAddress(t, "lab", "lab")+"/", "--rate", "100", "--header", "x-fairlead=blue")
	time.Sleep(2 * time.Second) // connections are open, and in use
	alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web")
	active := time.Now()
	time.Sleep(6 * time.Second) // a share of the load that can be told from the first
	after := float64(time.Since(active)) / float64(time.Since(began))
	result := load.stop(t)
	t.Logf("%+v", result)
	if result.Failed > 0 {
		t.Errorf("requests failed: %v", result.Failures)
	}
	if share := float64(result.Servers["alice"]) / float64(result.Requests); share < 0.6*after {
		t.Errorf("the laptop answered %.0f %%, though %.0f %% came after the intercept began: kept connections bypass it", 100*share, 100*after)
	}
}

// TestProbesKeepTheirMeaning: the app is ill while all its traffic goes to a healthy program on the laptop; the pod must turn
// unready, and ready again.
func TestProbesKeepTheirMeaning(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	for _, kind := range []string{"http", "tcp", "grpc", "exec"} {
		for _, mode := range [][]string{{"--all"}, {"--key", "blue"}} {
			t.Run(kind+" "+strings.TrimPrefix(mode[0], "--"), func(t *testing.T) {
				name := "probe-" + kind
				alice.intercept(t, append([]string{name, "-n", "probes", "--port", "3000:web", "--port", "3001:raw"}, mode...)...)
				pod := podOf(t, "probes", name)
				node, pid := networkOf(t, pod) // who asks from within the pod is answered by the app itself
				url := "http://" + pod.Status.PodIP + ":8080/break?for=5s"
				if out, err := node.Command(t.Context(), "nsenter", "--net=/proc/"+pid+"/ns/net", "curl", "-sS", "-m", "10", url).CombinedOutput(); err != nil {
					t.Fatalf("make the app ill: %v: %s", err, out)
				}
				turns := func(ready bool) {
					harness.Eventually(t, 15*time.Second, fmt.Sprintf("ready: %v", ready), func() error {
						if isReady(podOf(t, "probes", name)) != ready {
							return fmt.Errorf("not yet")
						}
						return nil
					})
				}
				turns(false)
				turns(true)
				alice.leave(t)
			})
		}
	}
}
