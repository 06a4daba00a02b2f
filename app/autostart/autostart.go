// SPDX-License-Identifier: Apache-2.0

// Package autostart makes the window start in the tray when the user logs in, and undoes it.
//
// It owns what each system needs for that: a file of the XDG autostart specification on Linux, a launch agent on macOS,
// a value of the Run key on Windows. A Plan is data, so that it can be looked at; Set carries it out. The package must not
// start anything, and must not touch what another program or the user has put there under another name.
package autostart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Set makes the window start at login, or not. program is the window's own file; see FindWindow.
func Set(on bool, program string) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("find the folder of this user: %w", err)
	}
	plan, err := For(runtime.GOOS, Folders{Home: home, Config: os.Getenv("XDG_CONFIG_HOME")}, program)
	if err != nil {
		return err
	}
	if on {
		return plan.apply()
	}
	return plan.undo()
}

// FindWindow returns the window's program beside another program of Fairlead, which may be named by a link.
func FindWindow(beside string) (string, error) {
	if resolved, err := filepath.EvalSymlinks(beside); err == nil {
		beside = resolved
	}
	name := "fairlead-desktop"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	program := filepath.Join(filepath.Dir(beside), name)
	if info, err := os.Stat(program); err != nil || !info.Mode().IsRegular() {
		return "", problem.New(problem.NotFound, "Install the package with the window, or turn the start at login off.",
			"the window can't start at login: there is no %s", program)
	}
	return program, nil
}

func (p Plan) apply() error {
	if p.Value != nil {
		return p.Value.set()
	}
	if err := os.MkdirAll(filepath.Dir(p.File), 0o700); err != nil {
		return fmt.Errorf("make the folder for programs that start at login: %w", err)
	}
	if err := os.WriteFile(p.File, []byte(p.Content), 0o644); err != nil {
		return fmt.Errorf("make the window start at login: %w", err)
	}
	return nil
}

func (p Plan) undo() error {
	if p.Value != nil {
		return p.Value.remove()
	}
	if err := os.Remove(p.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the window from starting at login: %w", err)
	}
	return nil
}
