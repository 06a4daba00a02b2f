// SPDX-License-Identifier: Apache-2.0

// Package harness is what the end-to-end tests stand on: a real cluster with the gateway installed through the
// command line, laptops with the helper running, and ways to run the built programs there and to look at what they did.
//
// It owns the set-up and the taking down, and small assertions that every test needs. It must not test anything itself,
// and reaches into no program: everything goes through the built binaries, the API server and the network.
package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

// KeepVariable names the environment variable that, when set, leaves the cluster up after the tests and uses one that
// is up already. It is for working on a test; a run that counts starts from nothing.
const KeepVariable = "FAIRLEAD_E2E_KEEP"

// NameVariable names the environment variable that replaces the cluster's name, so that two may work on tests at once.
const NameVariable = "FAIRLEAD_E2E_CLUSTER"

// Version is what the programs are built as.
const Version = "0.1.0"

// Environment is a cluster that is ready for tests.
type Environment struct {
	Cluster *cluster.Cluster
	root    string
	laptops []*Laptop
}

// Main brings an environment up, runs the tests of a package with it, and takes it down. ready is called before the
// tests with the environment. It does not return.
func Main(m *testing.M, config cluster.Config, ready func(*Environment)) {
	os.Exit(run(m, config, ready))
}

func run(m *testing.M, config cluster.Config, ready func(*Environment)) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	env, err := Start(ctx, config)
	if env != nil && os.Getenv(KeepVariable) == "" {
		defer env.Stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bring the test environment up:", err)
		return 1
	}
	ready(env)
	return m.Run()
}

// Start builds the programs, brings the cluster up, starts the helpers and installs the gateway. What it returns must be
// stopped, also when there is an error besides.
func Start(ctx context.Context, config cluster.Config) (*Environment, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	config.Root, config.Progress = root, os.Stderr
	if name := os.Getenv(NameVariable); name != "" {
		config.Name = name
	}
	if err := build(ctx, root); err != nil {
		return nil, err
	}
	env := &Environment{root: root}
	if os.Getenv(KeepVariable) != "" {
		env.Cluster, err = cluster.Open(config.Name, root)
	}
	if env.Cluster == nil {
		env.Cluster, err = cluster.Up(ctx, config)
	}
	if err != nil {
		return env, err
	}
	if err := env.Cluster.LoadAgent(ctx, Version); err != nil {
		return env, fmt.Errorf("load the gateway's image: %w", err)
	}
	for i := range max(config.Laptops, 1) {
		laptop := newLaptop(env, i)
		env.laptops = append(env.laptops, laptop)
		if err := laptop.StartHelper(ctx); err != nil {
			return env, fmt.Errorf("start the helper of laptop %d: %w", i+1, err)
		}
	}
	if r := env.laptops[0].Exec(ctx, "root", "fairlead", "gateway", "install"); r.Status != 0 {
		return env, fmt.Errorf("install the gateway: %s", r)
	}
	return env, nil
}

// Stop ends what runs on the laptops and takes the cluster down.
func (e *Environment) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if e.Cluster == nil {
		return
	}
	if err := e.Cluster.Down(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "take the test environment down:", err)
	}
}

// Laptop returns a laptop of the environment, the first with 0.
func (e *Environment) Laptop(i int) *Laptop { return e.laptops[i] }

// repository finds the checkout that the test runs in.
func repository() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return filepath.Dir(string(out)), nil
}

// build makes sure that the programs under test are those of the sources.
func build(ctx context.Context, root string) error {
	for _, args := range [][]string{
		{"make", "--no-print-directory", "build", "VERSION=" + Version},
		{"go", "build", "-trimpath", "-o", filepath.Join(root, ".cluster", "bin", "traffic"), "./tests/traffic"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	return nil
}
