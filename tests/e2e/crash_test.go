// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"syscall"
	"testing"
	"time"

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

// TestKilledInTheMiddleOfConnect kills both programs at many moments of a connect, so that every step is cut once.
func TestKilledInTheMiddleOfConnect(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	t.Cleanup(func() { laptop.StartHelper(context.Background()) })
	for delay := 10 * time.Millisecond; delay <= 180*time.Millisecond; delay += 10 * time.Millisecond {
		t.Run(delay.String(), func(t *testing.T) {
			t.Cleanup(func() { laptop.StartHelper(context.Background()) })
			connect := laptop.Command(t.Context(), harness.User, "fairlead", "connect", "--namespace", "shop")
			if err := connect.Start(); err != nil {
				t.Fatal(err)
			}
			<-time.After(delay)
			if err := laptop.KillHelper(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := laptop.KillDaemon(t.Context()); err != nil {
				t.Fatal(err)
			}
			connect.Wait()
			if err := laptop.StartHelper(t.Context()); err != nil {
				t.Fatal(err)
			}
			laptop.AsBefore(t, before)
		})
	}
	laptop.Connect(t)
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
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
