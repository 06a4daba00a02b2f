// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

var env *harness.Environment

func TestMain(m *testing.M) {
	harness.Main(m, cluster.Config{Name: "e2epage"}, func(e *harness.Environment) {
		env = e
		// A daemon that is left of a run before, in a cluster that was kept, has the page of that time.
		e.Laptop(0).Exec(context.Background(), harness.User, "fairlead", "quit")
	})
}

// visitLimit bounds a script, with the start of a browser on a busy machine.
const visitLimit = 4 * time.Minute

// TestFromInstallToDisconnect: everything by clicks, from a cluster without a gateway to one that is as it was.
func TestFromInstallToDisconnect(t *testing.T) {
	laptop := env.Laptop(0)
	t.Cleanup(func() {
		laptop.Disconnect(t)
		laptop.TryAs(t, "root", "fairlead", "gateway", "install")
	})
	if r := laptop.TryAs(t, "root", "fairlead", "gateway", "uninstall", "--force"); r.Status != 0 {
		t.Fatal(r)
	}
	before := laptop.Snapshot(t)
	visit(t, laptop, "cluster.mjs", nil)
	laptop.AsBefore(t, before)
	if all := laptop.Run(t, "kubectl", "get", "intercepts", "-A", "--ignore-not-found"); strings.TrimSpace(all) != "" {
		t.Errorf("intercepts are left: %s", all)
	}
}

// visit runs a script in a browser on the laptop, as its user. A line "do: NAME" has the script's request done, and answered
// with an empty line.
func visit(t *testing.T, laptop *harness.Laptop, name string, requests map[string]func() error) {
	t.Helper()
	root := env.Cluster.Config().Root
	var page struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal([]byte(laptop.Run(t, "fairlead", "open", "--print", "--output", "json")), &page); err != nil {
		t.Fatal("read the address of the page:", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), visitLimit)
	defer cancel()
	context := strings.TrimSpace(laptop.Run(t, "kubectl", "config", "current-context"))
	script := laptop.Command(ctx, harness.User, "node", filepath.Join(root, "frontend", "tests", name), chromium(t), page.URL, pictures(t), context)
	script.Stderr = os.Stderr
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = lines.Text()
		t.Log(last)
		if what, ok := strings.CutPrefix(last, "do: "); ok {
			if err := requests[what](); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := io.WriteString(in, "\n"); err != nil {
				t.Errorf("tell the script that this is done: %s: %v", what, err)
			}
		}
	}
	if err := script.Wait(); err != nil || last != "done" {
		t.Fatalf("the script ended with %v, after %q\n%s", err, last, laptop.Logs())
	}
}

// chromium finds the browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is not installed: run build/install-deps.sh")
	return ""
}

// pictures is the folder for pictures of the page; the user of the laptop may write to it.
func pictures(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("FAIRLEAD_SCREENSHOTS")
	if folder == "" {
		folder = filepath.Join(env.Cluster.Config().Root, ".cluster", "screenshots")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return folder
}
