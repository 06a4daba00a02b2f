// SPDX-License-Identifier: Apache-2.0

package window

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

var env *harness.Environment

func TestMain(m *testing.M) {
	harness.Main(m, cluster.Config{Name: "e2ewind"}, func(e *harness.Environment) {
		env = e
		// A daemon that is left of a run before, in a cluster that was kept, would fight for the helper with that of the window.
		e.Laptop(0).Exec(context.Background(), harness.User, "fairlead", "quit")
	})
}

// visitLimit bounds the visit, on a busy machine.
const visitLimit = 4 * time.Minute

// TestWindow: clicks in the tray connect and leave, the icon says what is true, and the connection outlives the window. The
// laptop is then as it was.
func TestWindow(t *testing.T) {
	laptop := env.Laptop(0)
	programs := build(t)
	before := laptop.Snapshot(t)
	t.Cleanup(func() { laptop.AsBefore(t, before) })
	local := laptop.Command(t.Context(), harness.User, "env", "POD_NAME=this-laptop", "shop", "catalog")
	if err := local.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = local.Process.Kill()
		_ = local.Wait()
	})

	ctx, cancel := context.WithTimeout(t.Context(), visitLimit)
	defer cancel()
	visit := laptop.Command(ctx, harness.User, filepath.Join(programs, "desktop.test"), "-test.v", "-test.run", "^TestOnACluster$")
	visit.Env = append(visit.Env, "FAIRLEAD_PROGRAMS="+programs)
	visit.Stderr = os.Stderr
	out, err := visit.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := visit.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Log(lines.Text())
	}
	if err := visit.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, laptop.Logs())
	}
}

// build builds the window, the program beside it, and the visit, where the laptop's user can run them.
func build(t *testing.T) string {
	t.Helper()
	root := env.Cluster.Config().Root
	folder, err := os.MkdirTemp(filepath.Join(root, ".cluster"), "window-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	version := "-s -w -X main.version=" + harness.Version
	for _, b := range []struct {
		cgo       string
		arguments []string
	}{
		{"1", []string{"build", "-trimpath", "-tags", "desktop,production,webkit2_41", "-ldflags", version, "-o", filepath.Join(folder, "fairlead-desktop"), "."}},
		{"0", []string{"build", "-trimpath", "-ldflags", version, "-o", filepath.Join(folder, "fairlead"), "./app/cli"}},
		{"0", []string{"test", "-c", "-tags", "cluster", "-o", filepath.Join(folder, "desktop.test"), "./tests/desktop"}},
	} {
		command := exec.CommandContext(t.Context(), "go", b.arguments...)
		command.Dir, command.Env = root, append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", b.arguments, err, out)
		}
	}
	return folder
}
