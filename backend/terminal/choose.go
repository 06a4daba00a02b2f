// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// emulators are programs that open a terminal on Linux, with what stands before the command to run in it; in the order in
// which they are looked for.
var emulators = []struct {
	name   string
	before []string
}{
	{"x-terminal-emulator", []string{"-e"}}, // Debian's choice of the user's (Debian Policy, section 11.8.3)
	{"xdg-terminal-exec", nil},
	{"gnome-terminal", []string{"--"}},
	{"ptyxis", []string{"--"}},
	{"kgx", []string{"--"}},
	{"konsole", []string{"-e"}},
	{"xfce4-terminal", []string{"-x"}},
	{"mate-terminal", []string{"-x"}},
	{"tilix", []string{"-e"}},
	{"lxterminal", []string{"-e"}},
	{"terminator", []string{"-x"}},
	{"kitty", nil},
	{"foot", nil},
	{"ghostty", []string{"-e"}},
	{"wezterm", []string{"start", "--"}},
	{"alacritty", []string{"-e"}},
	{"xterm", []string{"-e"}},
}

// choice is a terminal and how its shell is told what to do.
type choice struct {
	words   []string // of the command, before what runs in it
	shell   []string // what runs in it, before the file
	dialect dialect
}

func (c choice) command(file string) []string {
	return append(append(append([]string{}, c.words...), c.shell...), file)
}

// choose finds the terminal of a system: the one that is named, else that of the environment, else the first that is there.
func choose(system, named string, look func(string) string, find func(string) (string, error)) (choice, error) {
	switch system {
	case "darwin":
		if named == "" {
			named = "Terminal"
		}
		return choice{words: []string{"open", "-a", named}, dialect: commandFile}, nil
	case "windows":
		run := []string{"powershell.exe", "-NoLogo", "-NoExit", "-ExecutionPolicy", "Bypass", "-File"}
		if named == "" {
			named = "wt.exe"
			if _, err := find(named); err != nil {
				return choice{words: []string{"conhost.exe"}, shell: run, dialect: powerShell}, nil
			}
		}
		return choice{words: strings.Fields(named), shell: run, dialect: powerShell}, nil
	}
	if look("DISPLAY") == "" && look("WAYLAND_DISPLAY") == "" {
		return choice{}, problem.New(problem.Usage, "Use the variables where you are: fairlead env WORKLOAD --format sh --file .env, then: . ./.env", "there is no display to open a terminal on")
	}
	shell := []string{"/bin/sh"}
	for _, wish := range []string{named, look("TERMINAL")} {
		words := strings.Fields(wish)
		if len(words) == 0 {
			continue
		}
		if _, err := find(words[0]); err != nil {
			if wish == named {
				return choice{}, notThere(words[0])
			}
			continue
		}
		if len(words) == 1 {
			words = append(words, beforeCommand(words[0])...)
		}
		return choice{words: words, shell: shell, dialect: posix}, nil
	}
	for _, e := range emulators {
		if _, err := find(e.name); err == nil {
			return choice{words: append([]string{e.name}, e.before...), shell: shell, dialect: posix}, nil
		}
	}
	return choice{}, problem.New(problem.NotFound, "Install one, such as xterm, or name yours with: fairlead settings set terminal NAME.", "no program that opens a terminal was found")
}

// Check refuses a terminal's program that is not on this machine; "" is the desktop's own. Errors are *problem.Problem. macOS has
// applications there, which it looks for itself when one is opened.
func Check(named string) error { return check(runtime.GOOS, named, exec.LookPath) }

func check(system, named string, find func(string) (string, error)) error {
	words := strings.Fields(named)
	if system == "darwin" || len(words) == 0 {
		return nil
	}
	if _, err := find(words[0]); err != nil {
		return notThere(words[0])
	}
	return nil
}

func notThere(program string) error {
	return problem.New(problem.Usage, `Install it, or write its whole path; the desktop's own is: fairlead settings set terminal ""`,
		"there is no program %.200q on this machine to open a terminal with", program)
}

// beforeCommand is what a terminal wants before the command; -e for one that is not known, as xterm has it.
func beforeCommand(program string) []string {
	for _, e := range emulators {
		if e.name == filepath.Base(program) {
			return e.before
		}
	}
	return []string{"-e"}
}
