// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// refused checks that a command fails with an exit status and that what it says names every one of some words.
func refused(t *testing.T, r harness.Result, status int, words ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("exit status should be %d: %s", status, r)
	}
	for _, word := range append(words, "Hint: ") {
		if !strings.Contains(r.Stderr, word) {
			t.Errorf("the message should say %q: %s", word, r)
		}
	}
}

func TestEveryFailureHasItsOwnMessage(t *testing.T) {
	laptop := env.Laptop(0)
	before := laptop.Snapshot(t)
	connect := func(args ...string) harness.Result {
		return laptop.Try(t, append([]string{"fairlead", "connect"}, args...)...)
	}

	t.Run("no such context", func(t *testing.T) {
		refused(t, connect("--context", "nowhere"), 21, "nowhere", strings.TrimSpace(laptop.Run(t, "kubectl", "config", "current-context")))
	})
	t.Run("no kubeconfig", func(t *testing.T) {
		refused(t, connect("--kubeconfig", "/nowhere/kubeconfig"), 20, "/nowhere/kubeconfig")
	})
	t.Run("no such namespace", func(t *testing.T) {
		refused(t, connect("--namespace", "nowhere"), 25, "nowhere")
	})
	t.Run("unreachable cluster", func(t *testing.T) {
		path := changedKubeconfig(t, ":6443", ":6444")
		refused(t, connect("--kubeconfig", path), 22, ":6444")
	})
	t.Run("expired credentials", func(t *testing.T) {
		path, err := env.Cluster.TokenKubeconfig(t.Context(), "shop", "late", -time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, connect("--kubeconfig", path), 23, "expired")
	})
	t.Run("no rights", func(t *testing.T) {
		path, err := env.Cluster.TokenKubeconfig(t.Context(), "shop", "nobody", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		restore := withoutAccess(t)
		defer restore()
		refused(t, connect("--kubeconfig", path), 24, "create", "connections", "fairlead-connect")
	})
	t.Run("no gateway", func(t *testing.T) {
		refused(t, connect("--gateway-namespace", "kube-public"), 30, "fairlead gateway install")
	})
	t.Run("helper not installed", func(t *testing.T) {
		if r := laptop.TryAs(t, "root", "sh", "-c", "kill $(cat /run/fairlead-helper.pid); while [ -S /run/fairlead/helper.sock ]; do sleep 0.02; done"); r.Status != 0 {
			t.Fatalf("%s", r)
		}
		defer laptop.StartHelper(context.Background())
		refused(t, connect(), 10, "fairlead helper install")
	})
	t.Run("unlisted user", func(t *testing.T) {
		path := changedKubeconfig(t, "current-context", "current-context")
		refused(t, laptop.TryAs(t, "other", "fairlead", "connect", "--kubeconfig", path), 11, "other")
		laptop.TryAs(t, "other", "fairlead", "quit")
	})
	t.Run("version mismatch", func(t *testing.T) {
		laptop.Run(t, "fairlead", "quit")
		old := buildVersion(t, "0.0.9")
		defer laptop.Try(t, "fairlead", "quit")
		r := laptop.Try(t, old, "connect", "--namespace", "shop")
		if r.Status != 32 && r.Status != 13 {
			t.Errorf("exit status should be 32 or 13: %s", r)
		}
		if !strings.Contains(r.Stderr, "0.0.9") {
			t.Errorf("the message should name both versions: %s", r)
		}
		laptop.Try(t, old, "quit")
	})
	t.Run("usage", func(t *testing.T) {
		refused(t, connect("--carrier", "pigeon"), 2, "pigeon")
		refused(t, connect("--exclude", "10.0.0.0/99"), 2, "10.0.0.0/99")
	})
	laptop.AsBefore(t, before)
}

// changedKubeconfig makes a kubeconfig of the laptop's user with one piece of text replaced.
func changedKubeconfig(t *testing.T, from, to string) string {
	t.Helper()
	path, err := env.Cluster.UserKubeconfig("changed")
	if err != nil {
		t.Fatal(err)
	}
	return changed(t, path, from, to)
}

// changed makes a copy of a kubeconfig with one piece of text replaced, readable for every user of the laptop.
func changed(t *testing.T, path, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s does not contain %q", path, from)
	}
	text := strings.ReplaceAll(string(data), from, to)
	copied := path + ".changed"
	if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(copied) })
	return copied
}
