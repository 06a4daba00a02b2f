// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killGrace is how long Command waits for pipes that grandchildren hold open after the command itself was killed.
const killGrace = 2 * time.Second

// ExecOptions say how a program is run inside a host.
type ExecOptions struct {
	// PID is the host's init on the machine.
	PID int
	// User is a name in the host's /etc/passwd. Empty means root.
	User string
	// Dir is the working folder in the host. Empty means /.
	Dir string
}

// Command prepares a program to run in all namespaces of the host, as user. The returned command is a small parent
// on the machine: signals sent to it reach the program, its exit code is the program's, and when it is killed (also
// by the end of ctx) the program is killed with it.
func (h *Host) Command(ctx context.Context, options ExecOptions, env []string, args ...string) *exec.Cmd {
	wrapper := []string{"exec", "--pid", strconv.Itoa(h.PID), "--user", options.User, "--dir", options.Dir, "--"}
	command := exec.CommandContext(ctx, h.Binary, append(wrapper, args...)...)
	command.Env = env
	command.WaitDelay = killGrace
	return command
}

// Exec runs args inside a host and returns its exit code, 128 plus the signal's number if one ended it.
func Exec(options ExecOptions, args []string) (int, error) {
	// Children are made by this thread, which is the one that changes namespaces.
	runtime.LockOSThread()
	if err := enter(options.PID); err != nil {
		return 0, err
	}
	// setpriv looks up the user in the host's files, and has the program killed when this parent ends. Go's own
	// Pdeathsig does not work across PID namespaces.
	prefix := []string{"setpriv", "--pdeathsig", "KILL"}
	if options.User != "" && options.User != "root" {
		prefix = append(prefix, "--reuid", options.User, "--regid", options.User, "--init-groups")
	}
	args = append(append(prefix, "--"), args...)
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 0, fmt.Errorf("find setpriv (Debian package util-linux): %w", err)
	}
	command := &exec.Cmd{Path: path, Args: args, Dir: options.Dir, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if command.Dir == "" {
		command.Dir = "/"
	}
	signals := make(chan os.Signal, 8)
	// A terminal sends its signals to the program itself, because both are in its foreground group.
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT)
	if !isTerminal(os.Stdin) {
		signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	}
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("run %s: %w", args[0], err)
	}
	go func() {
		for received := range signals {
			if isTerminal(os.Stdin) && (received == syscall.SIGINT || received == syscall.SIGQUIT) {
				continue
			}
			_ = command.Process.Signal(received)
		}
	}()
	err = command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for %s: %w", args[0], err)
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return command.ProcessState.ExitCode(), nil
}

// enter moves the calling thread into the namespaces of the process pid; its children will be in pid's PID namespace.
func enter(pid int) error {
	namespaces := []struct {
		name string
		flag int
	}{{"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"ipc", unix.CLONE_NEWIPC}, {"mnt", unix.CLONE_NEWNS}}
	files := make([]int, len(namespaces))
	for i, namespace := range namespaces {
		file, err := unix.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace.name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s namespace of process %d (is the cluster up?): %w", namespace.name, pid, err)
		}
		files[i] = file
	}
	// The mount namespace can be changed only by a thread that shares its working folder with no other.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave shared file system state: %w", err)
	}
	for i, namespace := range namespaces {
		if err := unix.Setns(files[i], namespace.flag); err != nil {
			return fmt.Errorf("enter %s namespace: %w", namespace.name, err)
		}
		unix.Close(files[i])
	}
	return nil
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
