// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

const (
	version  = "0.1.0"
	revision = "1" // of the packages
	setUp    = 20 * time.Minute
)

// What TestMain makes for all tests.
var (
	dist    string // folder of the packages
	testbed *cluster.Cluster
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), setUp)
	defer cancel()
	defer func() { os.RemoveAll(dist) }()
	prepared := prepare(ctx)
	defer func() {
		if testbed == nil {
			return
		}
		if err := testbed.Down(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "take the cluster down:", err)
		}
	}()
	if prepared != nil {
		fmt.Fprintln(os.Stderr, prepared)
		return 1
	}
	if err := testbed.LoadAgent(ctx, version); err != nil {
		fmt.Fprintln(os.Stderr, "load the gateway's image:", err)
		return 1
	}
	return m.Run()
}

// prepare builds the packages, and brings a cluster up while those that nothing is installed from are still being made.
func prepare(ctx context.Context) error {
	root, err := cluster.FindRoot()
	if err != nil {
		return err
	}
	// Laptops have a /tmp of their own, and share the checkout.
	if dist, err = os.MkdirTemp(filepath.Join(root, ".cluster"), "dist-"); err != nil {
		return err
	}
	call := func(args ...string) error {
		command := exec.CommandContext(ctx, args[0], args[1:]...)
		command.Dir, command.Env = root, append(os.Environ(), "DIST="+dist)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, output)
		}
		return nil
	}
	if err := call("make", "--no-print-directory", "build", "VERSION="+version); err != nil {
		return err
	}
	var work errgroup.Group
	work.Go(func() error { return call("build/packages/build.sh", version, "windows-amd64", "macos-arm64") })
	work.Go(func() error {
		if err := call("build/packages/build.sh", version, "linux-"+runtime.GOARCH); err != nil {
			return err
		}
		up, err := cluster.Up(ctx, cluster.Config{Name: "packages", Root: root, Progress: os.Stderr})
		testbed = up
		return err
	})
	return work.Wait()
}

// root is the folder of this checkout.
func root(t *testing.T) string {
	t.Helper()
	folder, err := cluster.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// deb and rpm are the files of a package.
func deb(name string) string {
	return filepath.Join(dist, fmt.Sprintf("%s_%s-%s_%s.deb", name, version, revision, runtime.GOARCH))
}

func rpm(name string) string {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return filepath.Join(dist, fmt.Sprintf("%s-%s-%s.%s.rpm", name, version, revision, machine))
}
