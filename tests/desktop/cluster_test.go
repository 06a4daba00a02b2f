// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package desktop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/tray"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func init() { shared = append(shared, "KUBECONFIG") }

// TestOnACluster uses the window with the real daemon, helper and cluster of the laptop that it runs on. tests/e2e/window
// starts it there, where the shop's catalog also runs as this laptop's program, on port 8080.
func TestOnACluster(t *testing.T) {
	context, err := here.try("kubectl", "config", "current-context")
	must(t, err)
	defer fairlead(t, "quit")
	fairlead(t, "quit")
	w := startWindow(t)
	t.Logf("from the start of the window's process, which starts the daemon, to a page to use: %s", w.usable(t))
	icon := w.icon()
	icon.shows(t, tray.Disconnected)

	icon.click(t, context)
	icon.shows(t, tray.Connected)
	here.news.titled(t, "Connected")
	answersFrom(t, "catalog-", "http://catalog.shop/")
	here.screenshot(t, "cluster-connected")

	fairlead(t, "intercept", "catalog", "--namespace", "shop", "--key", "window", "--port", "8080:http")
	icon.shows(t, tray.Intercepting)
	icon.click(t, "catalog:8080 → 8080", "Copy header")
	var header string
	eventually(t, "the header in the clipboard", func() error {
		if header, err = here.try("xclip", "-out", "-selection", "clipboard"); err != nil || header != "x-fairlead: window" {
			return fmt.Errorf("it has %q, %v", header, err)
		}
		return nil
	})
	answersFrom(t, "this-laptop", "-H", header, "http://front.shop/")
	answersFrom(t, "catalog-", "http://catalog.shop/")
	here.screenshot(t, "cluster-intercepting")
	teammate(t, "create")
	if taken := here.news.titled(t, "A teammate intercepts it, too"); !strings.HasPrefix(taken.text, "bob intercepts shop/catalog, too.") {
		t.Errorf("%+v", taken)
	}
	teammate(t, "delete")
	icon.click(t, "catalog:8080 → 8080", "Leave")
	icon.shows(t, tray.Connected)
	answersFrom(t, "catalog-", "-H", header, "http://catalog.shop/")

	// The window owns nothing: killed or told to end, the connection stays.
	must(t, w.Process.Kill())
	<-w.ended
	stillConnected(t)
	again := startWindow(t)
	icon = again.icon()
	icon.shows(t, tray.Connected)
	again.seen(t)
	must(t, again.Process.Signal(syscall.SIGTERM))
	if status := again.ends(t); status != 0 {
		t.Errorf("SIGTERM: ended with status %d", status)
	}
	stillConnected(t)

	var took []time.Duration
	for range 3 {
		w := startWindow(t)
		w.icon().shows(t, tray.Connected)
		w.icon().click(t, "Disconnect")
		w.icon().shows(t, tray.Disconnected)
		w.icon().click(t, "Quit")
		if status := w.ends(t); status != 0 {
			t.Errorf("Quit: ended with status %d", status)
		}
		if out, err := here.try("curl", "-sS", "-m", "3", "--noproxy", "*", "http://catalog.shop/"); err == nil {
			t.Errorf("after Disconnect: %s", out)
		}
		measured := startWindow(t)
		took = append(took, measured.usable(t))
		measured.icon().click(t, context)
		measured.icon().shows(t, tray.Connected)
		must(t, measured.Process.Signal(syscall.SIGTERM))
		measured.ends(t)
	}
	slices.Sort(took)
	t.Logf("from the start of the window's process to a page to use, with a daemon that runs: %v", took)

	// Somebody else ends the intercept.
	last := startWindow(t)
	icon = last.icon()
	icon.shows(t, tray.Connected)
	fairlead(t, "intercept", "catalog", "--namespace", "shop", "--key", "window", "--port", "8080:http")
	icon.shows(t, tray.Intercepting)
	kubectl(t, "--namespace", "shop", "delete", "intercepts", "--all", "--wait=false")
	here.news.titled(t, "Intercept ended")
	icon.shows(t, tray.Connected)

	// The gateway goes, and comes back.
	here.news.forget()
	kubectl(t, "--namespace", "fairlead", "scale", "deployment/fairlead-gateway", "--replicas", "0")
	icon.shows(t, tray.Trouble)
	here.news.titled(t, "Connection lost")
	here.screenshot(t, "cluster-trouble")
	kubectl(t, "--namespace", "fairlead", "scale", "deployment/fairlead-gateway", "--replicas", "1")
	icon.shows(t, tray.Connected)
	here.news.titled(t, "Connected again")
	answersFrom(t, "catalog-", "http://catalog.shop/")
	icon.click(t, "Disconnect")
	icon.shows(t, tray.Disconnected)
}

// fairlead runs the command line against the same daemon.
func fairlead(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := here.try(here.program("fairlead"), arguments...)
	if err != nil {
		t.Fatalf("fairlead %v: %v\n%s", arguments, err, out)
	}
	return out
}

func kubectl(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := here.try("kubectl", arguments...); err != nil {
		t.Fatalf("kubectl %v: %v\n%s", arguments, err, out)
	}
}

// teammate creates or deletes what the Fairlead of somebody else makes of an intercept of the catalog.
func teammate(t *testing.T, do string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bob.yaml")
	must(t, os.WriteFile(file, []byte(`
apiVersion: fairlead.dev/v1alpha1
kind: Connection
metadata: {name: bob-laptop, namespace: fairlead}
spec: {user: bob, publicKey: AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=, namespace: shop}
---
apiVersion: fairlead.dev/v1alpha1
kind: Intercept
metadata: {name: bobs, namespace: shop}
spec:
  user: bob
  connection: {namespace: fairlead, name: bob-laptop}
  workload: {kind: Deployment, name: catalog}
  ports: [{port: 8080, tunnelPort: 40001}]
  match: {headers: [{name: x-fairlead, exact: bob}]}
`), 0o600))
	kubectl(t, "--as", "bob", "--as-group", "system:masters", do, "-f", file)
}

// answersFrom asks with curl until a pod of the name answers, or this laptop.
func answersFrom(t *testing.T, pod string, arguments ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an answer of %s to %v", pod, arguments), func() error {
		out, err := here.try("curl", append([]string{"-sS", "-m", "5", "--noproxy", "*"}, arguments...)...)
		if err != nil || !strings.Contains(out, `"pod":"`+pod) {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

// stillConnected asks the daemon and the cluster.
func stillConnected(t *testing.T) {
	t.Helper()
	var status session.Status
	must(t, json.Unmarshal([]byte(fairlead(t, "status", "--output", "json")), &status))
	if status.State != session.Connected {
		t.Errorf("the session is %s", status.State)
	}
	answersFrom(t, "catalog-", "http://catalog.shop/")
}
