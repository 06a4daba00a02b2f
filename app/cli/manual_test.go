// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManualHasAPageForEachCommand(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1763683200") // 2025-11-21
	folder := filepath.Join(t.TempDir(), "man1")
	root := (&program{version: "1.2.3"}).rootCommand()
	if err := writeManual(root, "1.2.3", folder); err != nil {
		t.Fatal(err)
	}
	for _, c := range root.Commands() {
		if !c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, "fairlead-"+c.Name()+".1")); err != nil {
			t.Error(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(folder, "fairlead-connect.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Nov 2025"`, "Fairlead 1.2.3", "Connect this laptop", "SEE ALSO"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page of connect lacks %s", want)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "fairlead-daemon.1")); err == nil {
		t.Error("a hidden command has a page")
	}
}
