// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"testing"
)

// TestTheClusterDies: what the page says while nothing gets through, and that it comes back by itself.
func TestTheClusterDies(t *testing.T) {
	laptop := env.Laptop(0)
	plug := env.Cluster.Laptop(0)
	t.Cleanup(func() { laptop.Disconnect(t) })
	stopped := false
	start := func(ctx context.Context) error {
		stopped = false
		if err := env.Cluster.StartAPIServer(ctx); err != nil {
			return err
		}
		return env.Cluster.RestartKubeProxy(ctx)
	}
	t.Cleanup(func() { // a script that fails half way leaves the cluster as it was
		if err := plug.Restore(context.Background()); err != nil {
			t.Error(err)
		}
		if stopped {
			if err := start(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	visit(t, laptop, "trouble.mjs", map[string]func() error{
		"unplug the laptop":  func() error { return plug.Unplug(t.Context()) },
		"plug the laptop in": func() error { return plug.Restore(t.Context()) },
		"stop the API server": func() error {
			stopped = true
			return env.Cluster.StopAPIServer(t.Context())
		},
		"start the API server": func() error { return start(t.Context()) },
		"delete the gateway pod": func() error {
			laptop.Run(t, "kubectl", "-n", "fairlead", "delete", "pod", "--all", "--wait=false")
			return nil
		},
	})
}

// TestTheDaemonRestarts: the page says that the daemon is gone, and comes back by itself when there is one again.
func TestTheDaemonRestarts(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	t.Cleanup(func() { laptop.Disconnect(t) })
	visit(t, laptop, "restart.mjs", map[string]func() error{
		"kill the daemon": func() error { return laptop.KillDaemon(t.Context()) },
	})
	laptop.AsBefore(t, before)
}

// TestByKeysAlone: the whole way without a mouse.
func TestByKeysAlone(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	t.Cleanup(func() { laptop.Disconnect(t) })
	visit(t, laptop, "keyboard.mjs", nil)
	laptop.AsBefore(t, before)
}
