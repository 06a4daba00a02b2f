// SPDX-License-Identifier: Apache-2.0

// Package terminal opens a terminal on this machine, with a shell that has given variables.
//
// Variables may be secrets: they never stand on a command line, and not in the environment of the terminal's program, which
// others may be started from. They are in a file that this user alone can read, and that the shell deletes before it does
// anything else. The package must not keep them.
package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Variable is one that the shell has.
type Variable struct{ Name, Value string }

// Options say which terminal to open, and what its shell has.
type Options struct {
	Program     string   // that opens a terminal, with its arguments; empty is the desktop's own
	Greeting    string   // a line that the shell begins with
	Environment []string // NAME=value, of whoever asks: it says which display; empty is this process's
	Folder      string   // to begin in; empty is the user's own
	Variables   []Variable
}

const (
	// failsWithin is how long a terminal that can't start may take to say so.
	failsWithin = 700 * time.Millisecond
	// deleteAfter is when the file goes that no shell has read.
	deleteAfter = 30 * time.Second
)

// Open opens a terminal, and returns once it has been started. Errors are *problem.Problem.
func Open(ctx context.Context, o Options) error {
	environment := o.Environment
	if len(environment) == 0 {
		environment = os.Environ()
	}
	look := func(name string) string {
		for i := len(environment) - 1; i >= 0; i-- {
			if value, ok := strings.CutPrefix(environment[i], name+"="); ok {
				return value
			}
		}
		return ""
	}
	found, err := choose(runtime.GOOS, o.Program, look, exec.LookPath)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(runtimeFolder(look), "fairlead-shell-") // for this user alone
	if err != nil {
		return problem.Wrap(err, problem.Internal, "", "make a folder for the shell's variables")
	}
	file := filepath.Join(folder, found.dialect.file)
	if err := os.WriteFile(file, found.dialect.script(o, file), found.dialect.mode); err != nil {
		return errors.Join(problem.Wrap(err, problem.Internal, "", "write the shell's variables"), os.RemoveAll(folder))
	}
	time.AfterFunc(deleteAfter, func() { _ = os.RemoveAll(folder) })
	if err := start(ctx, found.command(file), environment, o.Folder); err != nil {
		_ = os.RemoveAll(folder)
		return problem.Wrap(err, problem.Usage, "Name another one with: fairlead settings set terminal NAME.", "open a terminal with %s", found.words[0])
	}
	return nil
}

// start starts a program of its own, and waits a moment for it to fail.
func start(ctx context.Context, command, environment []string, folder string) error {
	program := exec.Command(command[0], command[1:]...) //nolint:noctx // it outlives the call
	program.Env, program.Dir = environment, folder
	detach(program)
	var said bytes.Buffer
	program.Stderr = &said
	if err := program.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()[:min(said.Len(), 300)]))
		}
		return nil // it has handed over to another process
	case <-time.After(failsWithin):
		return nil
	case <-ctx.Done():
		return nil
	}
}

// runtimeFolder is where files go that end with the user's session; empty is where temporary ones go.
func runtimeFolder(look func(string) string) string {
	folder := look("XDG_RUNTIME_DIR")
	if info, err := os.Stat(folder); folder != "" && err == nil && info.IsDir() {
		return folder
	}
	return ""
}
