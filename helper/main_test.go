// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

func TestCommands(t *testing.T) {
	state := t.TempDir()
	for name, c := range map[string]struct {
		args   []string
		output string
		err    string
	}{
		"version":            {[]string{"version"}, version, ""},
		"help":               {[]string{"--help"}, "fairlead-helper install", ""},
		"restore of nothing": {[]string{"restore", "--state-dir", state}, "0 changes put back", ""},
		"unknown command":    {[]string{"destroy"}, "", "fairlead-helper help"},
		"unknown flag":       {[]string{"restore", "--force"}, "", "fairlead-helper restore -h"},
		"an argument":        {[]string{"uninstall", "everything"}, "", "one argument too many"},
		"empty user":         {[]string{"install", "--user", ""}, "", "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			var output bytes.Buffer
			err := command(c.args, &output)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if !strings.Contains(output.String(), c.output) {
				t.Errorf("output %q, want %q", output.String(), c.output)
			}
		})
	}
	if err := command([]string{"run", "-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("run -h: %v", err)
	}
}

func TestRestoreBesideARunningHelper(t *testing.T) {
	state := t.TempDir()
	journal, err := restore.Open(filepath.Join(state, "journal.json"), kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	err = command([]string{"restore", "--state-dir", state}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "restart the service") {
		t.Errorf("got %v", err)
	}
	if err := journal.Close(); err != nil {
		t.Error(err)
	}
}

// TestKindsAreDistinct holds that no two packages record changes under the same name.
func TestKindsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range kinds() {
		if kind.Name == "" || kind.Undo == nil || seen[kind.Name] {
			t.Errorf("kind %q is nameless, can't be undone, or exists twice", kind.Name)
		}
		seen[kind.Name] = true
	}
}

func TestInvoker(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		want        string
	}{
		"sudo":         {map[string]string{"SUDO_UID": "1000"}, "1000"},
		"pkexec":       {map[string]string{"PKEXEC_UID": "1001"}, "1001"},
		"root by sudo": {map[string]string{"SUDO_UID": "0"}, ""},
		"forged":       {map[string]string{"SUDO_UID": "1000,root"}, ""},
		"nobody":       {nil, ""},
	} {
		if got := invoker(func(name string) string { return c.environment[name] }); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
