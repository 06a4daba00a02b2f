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

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

const (
	version  = "0.1.0"
	revision = "1" // of the packages
	setUp    = 10 * time.Minute
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
	if err := prepare(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := testbed.Down(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "take the cluster down:", err)
		}
	}()
	if err := testbed.LoadAgent(ctx, version); err != nil {
		fmt.Fprintln(os.Stderr, "load the gateway's image:", err)
		return 1
	}
	return m.Run()
}

// prepare builds the packages and brings a cluster up.
func prepare(ctx context.Context) (err error) {
	root, err := cluster.FindRoot()
	if err != nil {
		return err
	}
	// Laptops have a /tmp of their own, and share the checkout.
	if dist, err = os.MkdirTemp(filepath.Join(root, ".cluster"), "dist-"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"make", "--no-print-directory", "build", "VERSION=" + version},
		{"build/packages/build.sh", version, "linux-" + runtime.GOARCH},
	} {
		command := exec.CommandContext(ctx, args[0], args[1:]...)
		command.Dir, command.Env = root, append(os.Environ(), "DIST="+dist)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, output)
		}
	}
	testbed, err = cluster.Up(ctx, cluster.Config{Name: "packages", Root: root, Progress: os.Stderr})
	return err
}

// deb and rpm are the files of a package.
func deb(name string) string {
	return filepath.Join(dist, fmt.Sprintf("%s_%s-%s_%s.deb", name, version, revision, runtime.GOARCH))
}

func rpm(name string) string {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return filepath.Join(dist, fmt.Sprintf("%s-%s-%s.%s.rpm", name, version, revision, machine))
}
