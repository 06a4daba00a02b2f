// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

//go:embed testdata/*.yaml
var manifests embed.FS

// env has two nodes and two laptops: alice's and bob's.
var env *harness.Environment

// lab is the path of the lab program.
var lab string

func TestMain(m *testing.M) {
	harness.Main(m, cluster.Config{Name: "e2ecept", Nodes: 2, Laptops: 2}, func(e *harness.Environment) {
		env = e
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the lab:", err)
			e.Stop()
			os.Exit(1)
		}
	})
}

// prepare builds the lab, puts it on the nodes, deploys it in all its shapes and waits until it is ready.
func prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	root := env.Cluster.Config().Root
	lab = filepath.Join(root, ".cluster", "bin", "lab")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", lab, "./tests/lab")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if err := env.Cluster.LoadImage(ctx, cluster.Image{
		Ref: "fairlead.test/lab:dev", Name: "lab", Binary: lab, Links: []string{"cat"}, Variables: []string{"LAB_IMAGE=of the image", "GREETING=of the image"},
	}); err != nil {
		return fmt.Errorf("load the image: %w", err)
	}
	names, err := fs.Glob(manifests, "testdata/*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := manifests.Open(name)
		if err != nil {
			return err
		}
		if err := env.Cluster.Apply(ctx, file); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	for {
		waiting, err := unready(ctx, "lab", "strict", "kinds", "probes")
		if err != nil || waiting == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pods are not ready: %s", waiting)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// gatewayValue sets a value of the chart for one test.
func gatewayValue(t *testing.T, name, value, before string) {
	t.Helper()
	set := func(value string) {
		if r := env.Laptop(0).TryAs(t, "root", "fairlead", "gateway", "upgrade", "--set", name+"="+value); r.Status != 0 {
			t.Fatalf("%s", r)
		}
	}
	t.Cleanup(func() { set(before) })
	set(value)
}
