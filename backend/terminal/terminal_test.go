// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

func TestChoose(t *testing.T) {
	display := map[string]string{"DISPLAY": ":0"}
	for name, test := range map[string]struct {
		system, named string
		environment   map[string]string
		there         []string
		want          string // the command, or the code of the problem
	}{
		"debian's own":        {"linux", "", display, []string{"xterm", "x-terminal-emulator"}, "x-terminal-emulator -e /bin/sh FILE"},
		"gnome":               {"linux", "", display, []string{"gnome-terminal", "xterm"}, "gnome-terminal -- /bin/sh FILE"},
		"wayland":             {"linux", "", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, []string{"foot"}, "foot /bin/sh FILE"},
		"of the environment":  {"linux", "", map[string]string{"DISPLAY": ":0", "TERMINAL": "kitty"}, []string{"kitty", "xterm"}, "kitty /bin/sh FILE"},
		"that is not there":   {"linux", "", map[string]string{"DISPLAY": ":0", "TERMINAL": "kitty"}, []string{"xterm"}, "xterm -e /bin/sh FILE"},
		"of the settings":     {"linux", "konsole", map[string]string{"DISPLAY": ":0", "TERMINAL": "kitty"}, []string{"konsole", "kitty"}, "konsole -e /bin/sh FILE"},
		"with arguments":      {"linux", "/opt/term --hold --", display, []string{"/opt/term"}, "/opt/term --hold -- /bin/sh FILE"},
		"unknown":             {"linux", "/opt/term", display, []string{"/opt/term"}, "/opt/term -e /bin/sh FILE"},
		"settings, not there": {"linux", "konsole", display, []string{"xterm"}, "usage"},
		"none":                {"linux", "", display, nil, "not_found"},
		"no display":          {"linux", "", nil, []string{"xterm"}, "usage"},
		"mac":                 {"darwin", "", nil, nil, "open -a Terminal FILE"},
		"mac, another":        {"darwin", "iTerm", nil, nil, "open -a iTerm FILE"},
		"windows":             {"windows", "", nil, []string{"wt.exe"}, "wt.exe powershell.exe -NoLogo -NoExit -ExecutionPolicy Bypass -File FILE"},
		"windows, old":        {"windows", "", nil, nil, "conhost.exe powershell.exe -NoLogo -NoExit -ExecutionPolicy Bypass -File FILE"},
	} {
		chosen, err := choose(test.system, test.named, func(n string) string { return test.environment[n] }, func(n string) (string, error) {
			for _, there := range test.there {
				if there == n {
					return n, nil
				}
			}
			return "", exec.ErrNotFound
		})
		got := strings.Join(chosen.command("FILE"), " ")
		if err != nil {
			got = string(problem.From(err).Code)
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	find := func(program string) (string, error) {
		if program == "kitty" || program == "wt.exe" {
			return "/bin/" + program, nil
		}
		return "", exec.ErrNotFound
	}
	for _, c := range []struct {
		system, named string
		ok            bool
	}{
		{"linux", "", true}, {"linux", "kitty", true}, {"linux", "kitty --single-instance", true}, {"linux", "kity", false},
		{"windows", "wt.exe", true}, {"windows", "kitten.exe", false}, {"darwin", "iTerm", true},
	} {
		err := check(c.system, c.named, find)
		if p := problem.From(err); c.ok != (err == nil) || !c.ok && (p.Code != problem.Usage || p.Hint == "") {
			t.Errorf("%s, %q: %v", c.system, c.named, err)
		}
	}
}

func TestPowerShellScript(t *testing.T) {
	got := string(powerShellScript(Options{Variables: []Variable{{"A", "it's"}, {"bad=name", "x"}}, Greeting: "hi"}, "/tmp/x/begin.ps1"))
	for _, want := range []string{"Remove-Item -Recurse -LiteralPath '" + filepath.Dir("/tmp/x/begin.ps1") + "'\r\n", "SetEnvironmentVariable('A', 'it''s')", "Write-Host 'hi'"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if strings.Contains(got, "bad") {
		t.Error("a name that none can have")
	}
}

// TestOpen opens a terminal that is a script: what runs in it has the variables, and the file is gone.
func TestOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("there is no /bin/sh here")
		return
	}
	folder := t.TempDir()
	terminal, out := filepath.Join(folder, "term"), filepath.Join(folder, "out")
	shell := filepath.Join(folder, "shell")
	for file, text := range map[string]string{
		terminal: "#!/bin/sh\nshift\nls -l \"$2\" > " + out + ".mode\necho \"$@\" > " + out + ".words\nexec \"$@\"\n",
		shell:    "#!/bin/sh\nprintf '%s|%s|%s' \"$SECRET\" \"$ODD\" \"$(pwd)\" > " + out + "\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil { //nolint:gosec // they are run
			t.Fatal(err)
		}
	}
	run := filepath.Join(folder, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	err := Open(t.Context(), Options{
		Program: terminal, Folder: folder, Greeting: "Hello, it's you",
		Environment: []string{"DISPLAY=:0", "XDG_RUNTIME_DIR=" + run, "SHELL=" + shell, "PATH=" + os.Getenv("PATH")},
		Variables:   []Variable{{"SECRET", "s3cret $HOME `id`"}, {"ODD", "two\nlines 'quoted'"}, {"not-a-name", "x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if want := "s3cret $HOME `id`|two\nlines 'quoted'|" + folder; err != nil || string(got) != want {
		t.Errorf("the shell had %q, want %q (%v)", got, want, err)
	}
	words, err := os.ReadFile(out + ".words")
	if err != nil || strings.Contains(string(words), "s3cret") {
		t.Errorf("the command line was %q, %v", words, err)
	}
	mode, err := os.ReadFile(out + ".mode")
	if err != nil || !strings.HasPrefix(string(mode), "-rw-------") {
		t.Errorf("the file was %q, %v", mode, err)
	}
	left, err := os.ReadDir(run)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestATerminalThatFailsIsAProblem(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	run := t.TempDir()
	err := Open(t.Context(), Options{Program: "false", Environment: []string{"DISPLAY=:0", "XDG_RUNTIME_DIR=" + run}})
	var p *problem.Problem
	if !errors.As(err, &p) || p.Hint == "" {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(run); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
