// SPDX-License-Identifier: Apache-2.0

package autostart

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

func TestPlans(t *testing.T) {
	home := filepath.FromSlash("/home/ada")
	for _, test := range []struct {
		name, system, program string
		folders               Folders
	}{
		{"linux", "linux", "/usr/bin/fairlead-desktop", Folders{Home: home}},
		{"linux-odd", "linux", `/opt/50% $HOME \o/fairlead-desktop`, Folders{Home: home, Config: filepath.FromSlash("/home/ada/conf")}},
		{"darwin", "darwin", "/Applications/Fairlead & Co.app/Contents/MacOS/fairlead-desktop", Folders{Home: home}},
		{"windows", "windows", `C:\Program Files\Fairlead\fairlead-desktop.exe`, Folders{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan, err := For(test.system, test.folders, test.program)
			if err != nil {
				t.Fatal(err)
			}
			got := "file: " + filepath.ToSlash(plan.File) + "\n" + plan.Content
			if v := plan.Value; v != nil {
				got = strings.Join([]string{"key: " + v.Key, "name: " + v.Name, "text: " + v.Text, ""}, "\n")
			}
			golden.Compare(t, filepath.Join("testdata", test.name+".txt"), got)
		})
	}
	if _, err := For("linux", Folders{Home: home}, "/tmp/a\nExec=evil"); err == nil {
		t.Error("a line break in the program's name is let through")
	}
	if _, err := For("plan9", Folders{}, "x"); err == nil {
		t.Error("there is a plan for plan9")
	}
}

// TestSet works on a home folder of its own, where that is a matter of files.
func TestSet(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("the registry is the user's own: it is left alone")
		return
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	program := filepath.Join(home, "fairlead-desktop")
	if _, err := FindWindow(filepath.Join(home, "fairlead")); err == nil {
		t.Error("a window is found where there is none")
	}
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := FindWindow(filepath.Join(home, "fairlead"))
	if err != nil {
		t.Fatal(err)
	}
	files := func() (names []string) {
		for _, pattern := range []string{".config/autostart/*", "Library/LaunchAgents/*"} {
			matches, _ := filepath.Glob(filepath.Join(home, pattern))
			names = append(names, matches...)
		}
		return names
	}
	for range 2 { // both are idempotent
		if err := Set(true, found); err != nil || len(files()) != 1 {
			t.Fatalf("%v, %v", err, files())
		}
	}
	for range 2 {
		if err := Set(false, found); err != nil || len(files()) != 0 {
			t.Fatalf("%v, %v", err, files())
		}
	}
}
