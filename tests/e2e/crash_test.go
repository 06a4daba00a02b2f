// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
	"github.com/fairlead-dev/fairlead/tests/e2e/reach"
)

// interrupt is what Ctrl-C sends.
const interrupt = syscall.SIGINT

func TestDaemonKilled(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	laptop.Connect(t)
	if err := laptop.KillDaemon(t.Context()); err != nil {
		t.Fatal(err)
	}
	laptop.AsBefore(t, before)
	reach.Nothing(t, env, laptop)
	laptop.Connect(t)
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

func TestHelperKilled(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	t.Cleanup(func() { laptop.StartHelper(context.Background()) })

	t.Run("a restart puts everything back", func(t *testing.T) {
		laptop.Connect(t)
		if err := laptop.KillHelper(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The daemon would connect again by itself as soon as there is a helper; this test is about the helper.
		if err := laptop.KillDaemon(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := laptop.StartHelper(t.Context()); err != nil {
			t.Fatal(err)
		}
		laptop.AsBefore(t, before)
	})
	t.Run("restore puts everything back", func(t *testing.T) {
		laptop.Connect(t)
		if err := laptop.KillDaemon(t.Context()); err != nil {
			t.Fatal(err)
		}
		laptop.Connect(t)
		if err := laptop.KillHelper(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := laptop.KillDaemon(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := laptop.TryAs(t, "root", "fairlead-helper", "restore"); r.Status != 0 {
			t.Fatalf("%s", r)
		}
		laptop.AsBefore(t, before)
		if err := laptop.StartHelper(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("the session comes back by itself", func(t *testing.T) {
		laptop.Connect(t)
		if err := laptop.KillHelper(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := laptop.StartHelper(t.Context()); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, 10*time.Second, "a service answers", answers(t, laptop))
		laptop.Disconnect(t)
		laptop.AsBefore(t, before)
	})
}

// connectSteps are what a status says while connecting, in order (backend/session).
var connectSteps = []string{
	"asking the helper and the cluster",
	"announcing this laptop to the gateway",
	"waiting for the gateway",
	"setting up device, routes and names",
	"waiting for the first answer from the gateway",
	namesStep,
}

// namesStep takes no time where names resolve as soon as the gateway has answered.
const namesStep = "waiting for names to resolve"

// TestKilledInEachStepOfConnect kills both programs in every step of a connect. That a step was cut is known from the
// status: it is the last that was told.
func TestKilledInEachStepOfConnect(t *testing.T) {
	laptop, host := env.Laptop(0), env.Cluster.Laptop(0)
	before := laptop.Snapshot(t)
	t.Cleanup(func() { laptop.StartHelper(context.Background()) })
	// On a long way to the cluster each step takes long enough to be seen.
	if err := host.Impair(t.Context(), cluster.Impairment{Delay: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.ClearImpairment(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const tries = 15
	for _, step := range connectSteps {
		t.Run(step, func(t *testing.T) {
			for try := 1; ; try++ {
				last := killInStep(t, laptop, step)
				if err := laptop.StartHelper(t.Context()); err != nil {
					t.Fatal(err)
				}
				laptop.AsBefore(t, before)
				if last == step {
					t.Logf("cut in try %d", try)
					return
				}
				if try == tries && step == namesStep && last == "" {
					t.Logf("names resolved with the first answer, every time: cut %d times when connected", tries)
					return
				}
				if try == tries {
					t.Fatalf("not cut in %d tries; the last was cut in %q", tries, last)
				}
			}
		})
	}
	laptop.Connect(t)
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// killInStep connects, kills daemon and helper as soon as the status tells of the step, and returns the last step that
// it told of. It is empty where connect was done before.
func killInStep(t *testing.T, laptop *harness.Laptop, step string) (last string) {
	t.Helper()
	laptop.Connect(t) // there is a daemon from now on
	laptop.Disconnect(t)
	victims := append(processes(t, "pgrep -u dev -f 'fairlead daemon'"), processes(t, "cat /run/fairlead-helper.pid")...)
	if len(victims) != 2 {
		t.Fatalf("there should be a daemon and a helper, there are %v", victims)
	}
	watch := laptop.Command(t.Context(), harness.User, "fairlead", "status", "--watch", "--output", "json")
	told, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { watch.Process.Kill(); watch.Wait() }()
	statuses := json.NewDecoder(told)
	var status session.Status
	if err := statuses.Decode(&status); err != nil { // the watch is there
		t.Fatalf("read the status: %v", err)
	}
	connect := laptop.Command(t.Context(), harness.User, "fairlead", "connect", "--namespace", "shop")
	if err := connect.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { connect.Process.Kill(); connect.Wait() }()
	kill := func() {
		for _, pid := range victims {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Errorf("kill process %d: %v", pid, err)
			}
		}
	}
	killed := false
	for status = (session.Status{}); statuses.Decode(&status) == nil; status = (session.Status{}) {
		if last = status.Step; status.State == session.Connected {
			last = ""
		}
		if !killed && (last == step || status.State == session.Connected) {
			kill()
			killed = true
		}
		if killed && status.State == session.Disconnected {
			break
		}
	}
	if !killed {
		kill()
	}
	harness.Eventually(t, 10*time.Second, "daemon and helper to be gone", func() error {
		for _, pid := range victims {
			// One that has ended may still be closing its device.
			if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil && !strings.Contains(string(data), "\nState:\tZ") {
				return fmt.Errorf("process %d runs", pid)
			}
		}
		return nil
	})
	return last
}

// processes returns the machine's numbers of processes of the first laptop, which a command there names by the
// laptop's.
func processes(t *testing.T, command string) []int {
	t.Helper()
	var found []int
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", env.Cluster.Laptop(0).PID))
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(env.Laptop(0).TryAs(t, "root", "sh", "-c", command).Stdout) {
		for _, path := range all {
			folder := filepath.Dir(filepath.Dir(path))
			if namespace, err := os.Readlink(path); err != nil || namespace != own {
				continue
			}
			status, err := os.ReadFile(filepath.Join(folder, "status"))
			if err != nil || !strings.Contains(string(status), "\t"+name+"\nNSpgid:") {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
}

func TestInterruptedConnectLeavesNothing(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	laptop.Run(t, "fairlead", "status")
	r := laptop.Try(t, "timeout", "--preserve-status", "-s", "INT", "0.1", "fairlead", "connect", "--namespace", "shop")
	if r.Status != 130 && r.Status != 0 { // 0 where connect was done before the signal
		t.Errorf("an interrupted connect should exit with 130: %s", r)
	}
	laptop.Disconnect(t)
	laptop.AsBefore(t, before)
}
