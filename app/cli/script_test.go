// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// TestMain makes this test binary the program as well: scripts run it as "fairlead", with a fake backend in its daemon.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fairlead": func() {
			version = "1.2.3"
			patience = time.Minute
			if v := os.Getenv("VERSION"); v != "" {
				version = v
			}
			os.Exit(run(os.Args[1:], newFake))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:               setUpScript,
		Condition: func(condition string) (bool, error) {
			if condition == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", condition)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": runExits,
			"await": runAwait,
		},
	})
}

// setUpScript gives each script a daemon socket of its own, and ends the daemon that the script may have started.
func setUpScript(env *testscript.Env) error {
	folder, err := os.MkdirTemp("", "fl") // not below the work folder: a socket's name can have 104 bytes at most
	if err != nil {
		return err
	}
	socket := filepath.Join(folder, "daemon.sock")
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("FAIRLEAD_DAEMON_SOCKET", socket)
	env.Setenv("FAIRLEAD_DAEMON_LOG", filepath.Join(env.WorkDir, "daemon.log"))
	env.Setenv("TZ", "UTC")
	if _, err := os.Stat(filepath.Join(env.WorkDir, "fake.json")); err == nil {
		env.Setenv("FAKE", filepath.Join(env.WorkDir, "fake.json"))
	}
	env.Setenv("ASKED", filepath.Join(env.WorkDir, "asked.json"))
	env.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
		defer cancel()
		client := localapi.NewClient(socket)
		if err := client.Quit(ctx); err != nil && !errors.Is(err, localapi.ErrNotRunning) {
			env.T().Log("end the daemon:", err)
		}
		client.Close()
		os.RemoveAll(folder)
	})
	return nil
}

// runExits is "exits STATUS PROGRAM ARGUMENT…".
func runExits(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) < 2 {
		ts.Fatalf("usage: exits status program [argument…]")
	}
	want, err := strconv.Atoi(arguments[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(arguments[1], arguments[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("run %s: %v", arguments[1], err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// scriptPatience is how long a script waits for another program, on a busy machine and with the race detector.
const scriptPatience = 2 * time.Minute

// runAwait is "await FILE": it waits until the file exists.
func runAwait(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) != 1 {
		ts.Fatalf("usage: await file")
	}
	deadline := time.Now().Add(scriptPatience)
	for {
		if _, err := os.Stat(ts.MkAbs(arguments[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear", arguments[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}
