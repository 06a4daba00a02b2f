// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// helperProgram is the file name of the helper.
const helperProgram = "fairlead-helper"

func (p *program) helperCommand() *cobra.Command {
	c := p.family(&cobra.Command{
		Use:     "helper",
		GroupID: groupSetup,
		Short:   "Install, remove or look at the helper of this laptop",
		Long: `The helper is the one part of Fairlead with privilege: a service of the operating system that owns the tunnel device,
routes and name resolution, and nothing else. It is installed once per laptop, by root, for the users who may use it.`,
		Example: `  sudo fairlead helper install
  fairlead helper status`,
	})
	c.AddCommand(p.helperInstallCommand(), p.helperUninstallCommand(), p.helperStatusCommand())
	return c
}

func (p *program) helperInstallCommand() *cobra.Command {
	var users, groups []string
	c := &cobra.Command{
		Use:   "install",
		Short: "Install the helper as a service, and start it",
		Long: `Install the helper as a service of the operating system, and start it. This needs root: without it, on a terminal,
the command asks for it through sudo or pkexec. Installing again replaces the helper by the one beside this program.`,
		Example: `  sudo fairlead helper install
  sudo fairlead helper install --user alice --user bob
  sudo fairlead helper install --group developers`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			arguments := []string{"install"}
			if len(users) == 0 && len(groups) == 0 {
				users = invokingUser()
			}
			for _, name := range users {
				arguments = append(arguments, "--user", name)
			}
			for _, name := range groups {
				arguments = append(arguments, "--group", name)
			}
			return p.asRoot(c.Context(), "install", arguments)
		},
	}
	c.Flags().StringSliceVar(&users, "user", nil, "user who may connect; repeat it for several (default: you)")
	c.Flags().StringSliceVar(&groups, "group", nil, "group whose members may connect; repeat it for several")
	return c
}

func (p *program) helperUninstallCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the helper and all that it left",
		Long: `Stop the helper, which puts back whatever it has changed, and remove the service, its files and its settings. This
needs root: without it, on a terminal, the command asks for it through sudo or pkexec.`,
		Example: `  sudo fairlead helper uninstall`,
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.asRoot(c.Context(), "uninstall", []string{"uninstall"})
		},
	}
}

// invokingUser names the person at the keyboard; nobody if that is root, who may connect anyway.
func invokingUser() []string {
	if os.Geteuid() == 0 {
		if name := os.Getenv("SUDO_USER"); name != "" && name != "root" {
			return []string{name}
		}
		if id := os.Getenv("PKEXEC_UID"); id != "" && id != "0" {
			return []string{id}
		}
		return nil
	}
	me, err := user.Current()
	if err != nil {
		return nil
	}
	return []string{me.Username}
}

// asRoot runs the helper's own program with root's rights.
func (p *program) asRoot(ctx context.Context, verb string, arguments []string) error {
	file, err := findHelper()
	if err != nil {
		return err
	}
	line := append([]string{file}, arguments...)
	if os.Geteuid() > 0 {
		elevate := elevation(p.terminal, exec.LookPath)
		if elevate == nil {
			self, err := os.Executable()
			if err != nil {
				self = "fairlead"
			}
			return problem.New(problem.HelperDenied, "Run: sudo "+self+" helper "+strings.Join(arguments, " "), "helper %s needs root", verb)
		}
		p.warn("This needs root: %s", strings.Join(append(elevate, line...), " "))
		line = append(elevate, line...)
	}
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.Stdin, command.Stderr = p.stdin, p.stderr
	command.Stdout = p.stderr // standard output is for the answer
	if err := command.Run(); err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return problem.New(problem.HelperFailed, "What is above says why. When that is mended, run the same command again.", "helper %s ended with %s", verb, failed.ProcessState)
		}
		return problem.Wrap(err, problem.HelperFailed, "", "run %s", line[0])
	}
	done := map[string]string{"install": "The helper is installed and runs.", "uninstall": "The helper is removed."}[verb]
	return p.answer(struct {
		Done bool `json:"done"`
	}{true}, func(w io.Writer) { fmt.Fprintln(w, done) })
}

// elevation is the command that asks for root's rights; nil if there is nobody to ask, or no such command.
func elevation(terminal bool, look func(string) (string, error)) []string {
	if runtime.GOOS == "windows" {
		return nil
	}
	if terminal {
		if sudo, err := look("sudo"); err == nil {
			return []string{sudo, "--"}
		}
	}
	graphical := os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
	if pkexec, err := look("pkexec"); err == nil && (terminal || graphical) {
		return []string{pkexec}
	}
	return nil
}

// systemFolder is where a Linux package has the helper; the PATH of users often lacks it.
const systemFolder = "/usr/sbin"

// findHelper returns the helper's file: beside this program, else on the PATH, else that of a package.
func findHelper() (string, error) {
	name := helperProgram
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		for _, file := range []string{self, resolved(self)} {
			beside := filepath.Join(filepath.Dir(file), name)
			if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
				return beside, nil
			}
		}
	}
	if found, err := exec.LookPath(name); err == nil {
		return filepath.Abs(found)
	}
	packaged := filepath.Join(systemFolder, name)
	if info, err := os.Stat(packaged); err == nil && info.Mode().IsRegular() {
		return packaged, nil
	}
	return "", problem.New(problem.NotFound, "Put it into the folder of the program 'fairlead'; both come in the same package.",
		"there is no %s beside this program or on the PATH", name)
}

func resolved(file string) string {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		return target
	}
	return file
}

func (p *program) helperStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the helper runs, and for whom",
		Long: `Say whether the helper runs, in which version, and who uses the tunnel now. The exit status tells why it can't be
used, if so.`,
		Example: `  fairlead helper status`,
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return p.helperStatus(c.Context()) },
	}
}

func (p *program) helperStatus(ctx context.Context) error {
	progress := p.begin("Asking the helper")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	helper, err := client.Helper(ctx)
	if err != nil {
		return err
	}
	progress.end()
	if err := p.answer(helper, func(w io.Writer) { writeHelper(w, helper) }); err != nil {
		return err
	}
	if helper.Problem != nil {
		return exit(helper.Problem.ExitStatus())
	}
	return nil
}

func writeHelper(w io.Writer, h localapi.Helper) {
	if !h.Running {
		fmt.Fprintln(w, "The helper does not run.")
	} else {
		fmt.Fprintln(w, "The helper runs.")
		used := "by nobody"
		if h.User != "" {
			used = "by " + h.User
			if h.Device != "" {
				used += ", device " + h.Device
			}
		}
		writeFields(w, []field{{"Version", h.Version}, {"Used", used}})
	}
	if h.Problem != nil {
		fmt.Fprintln(w)
		writeProblem(w, "Problem: ", h.Problem)
	}
}
