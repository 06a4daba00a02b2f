// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a running host, seen from the machine. It is safe for concurrent use.
type Host struct {
	// PID is its init's process on the machine.
	PID int
	// Binary is the cluster-host program.
	Binary string

	control *http.Client
}

// Start starts a host as the spec at specPath says, with the cluster-host program at binary, and waits until it can
// be used. Its init's output goes to the file log. The host outlives the caller; End ends it.
func Start(ctx context.Context, binary, specPath, log string) (*Host, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of host: %w", err)
	}
	defer output.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe to host: %w", err)
	}
	defer reader.Close()
	command := exec.Command(binary, "init", specPath)
	command.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	command.Dir = "/"
	command.Stdout, command.Stderr = output, output
	command.ExtraFiles = []*os.File{writer}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS |
			syscall.CLONE_NEWIPC,
	}
	err = command.Start()
	writer.Close()
	if err != nil {
		return nil, fmt.Errorf("start host (needs root): %w", err)
	}
	// While the caller lives it is the parent, and must collect the init when that ends.
	go func() { _ = command.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(command.Process.Pid, syscall.SIGKILL) })
	defer stop()
	report, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("wait for host: %w", err)
	}
	if string(report) != readyMessage {
		return nil, fmt.Errorf("start host from %s: %s", specPath, cmp.Or(string(report), "it ended without a word, see "+log))
	}
	return newHost(command.Process.Pid, binary), nil
}

// ErrNotRunning is what Find returns when no host was started from the spec.
var ErrNotRunning = errors.New("host is not running")

// Find returns the running host that was started from the spec at specPath.
func Find(specPath string) (*Host, error) {
	inits, err := initsBelow(specPath)
	if err != nil {
		return nil, err
	}
	for pid, binary := range inits {
		return newHost(pid, binary), nil
	}
	return nil, ErrNotRunning
}

// EndAll kills every host whose spec is at or below path, and waits until they and all their processes are gone. It
// needs no state but the process table, so it also ends what an interrupted Start left.
func EndAll(ctx context.Context, path string) error {
	ending := map[int]bool{}
	for {
		inits, err := initsBelow(path)
		if err != nil {
			return err
		}
		for pid := range inits {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			ending[pid] = true
		}
		// A killed init loses its command line first, and is gone when every process of its namespace is.
		maps.DeleteFunc(ending, func(pid int, _ bool) bool { return gone(pid) })
		if len(ending) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("end hosts below %s: %d still there: %w", path, len(ending), ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// gone tells if a process has ended, whether or not its parent has noticed.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// The state is the field after the program's name, which is in parentheses and may hold anything (proc_pid_stat(5)).
	_, fields, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
	return strings.HasPrefix(fields, "Z") || strings.HasPrefix(fields, "X")
}

// initsBelow lists host inits by process, with the program each runs. A process that is a zombie has no command line
// and does not count: its namespaces are gone.
func initsBelow(path string) (map[int]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	inits := map[int]string{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		commandLine, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue // it has ended meanwhile
		}
		args := strings.Split(strings.TrimRight(string(commandLine), "\x00"), "\x00")
		if len(args) != 3 || !strings.HasPrefix(filepath.Base(args[0]), "cluster-host") || args[1] != "init" {
			continue
		}
		if args[2] == path || strings.HasPrefix(args[2], strings.TrimRight(path, "/")+"/") {
			inits[pid] = args[0]
		}
	}
	return inits, nil
}

func newHost(pid int, binary string) *Host {
	return &Host{PID: pid, Binary: binary, control: controlClient(fmt.Sprintf("/proc/%d/root%s", pid, ControlSocket))}
}

// controlClient makes requests to an init through its socket.
func controlClient(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// Path is where the machine finds the host's file at path. Absolute symbolic links on the way lead astray.
func (h *Host) Path(path string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", h.PID), path)
}

// NetNS opens the host's network namespace. The caller closes it.
func (h *Host) NetNS() (netns.NsHandle, error) {
	handle, err := netns.GetFromPid(h.PID)
	if err != nil {
		return handle, fmt.Errorf("open network namespace of host: %w", err)
	}
	return handle, nil
}

// Dial connects from inside the host's network namespace. Addresses must be numeric; names would be resolved on the
// machine.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialAs(ctx, 0, network, address)
}

// DialAs is Dial with a socket that belongs to a user, by number, as the kernel tells those who ask whose it is.
func (h *Host) DialAs(ctx context.Context, uid int, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The goroutine ends without unlocking, so that its thread, which has changed namespace, ends with it.
		runtime.LockOSThread()
		handle, err := h.NetNS()
		if err != nil {
			done <- result{err: err}
			return
		}
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			done <- result{err: fmt.Errorf("enter network namespace of host: %w", err)}
			return
		}
		// A socket is its maker's by the user id for files, which is the thread's own (credentials(7)).
		if _, err := unix.SetfsuidRetUid(uid); err != nil {
			done <- result{err: fmt.Errorf("become user %d: %w", uid, err)}
			return
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, address)
		done <- result{conn: conn, err: err}
	}()
	answer := <-done
	return answer.conn, answer.err
}

// StartComponent runs a program as a child of the host's init.
func (h *Host) StartComponent(ctx context.Context, component Component) error {
	return h.request(ctx, http.MethodPut, component.Name, component, nil)
}

// StopComponent sends SIGTERM, and SIGKILL after grace, and returns when the program is gone. One that does not run
// is fine.
func (h *Host) StopComponent(ctx context.Context, name string, grace time.Duration) error {
	return h.request(ctx, http.MethodDelete, name, stopRequest{Grace: grace}, nil)
}

// Components lists what the host's init was asked to run, by name.
func (h *Host) Components(ctx context.Context) ([]ComponentStatus, error) {
	var list []ComponentStatus
	return list, h.request(ctx, http.MethodGet, "", nil, &list)
}

func (h *Host) request(ctx context.Context, method, name string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode control request: %w", err)
	}
	url := "http://host/components"
	if name != "" {
		url += "/" + name
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("make control request: %w", err)
	}
	response, err := h.control.Do(request)
	if err != nil {
		return fmt.Errorf("ask host: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return errors.New(strings.TrimSpace(string(message)))
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("decode answer of host: %w", err)
	}
	return nil
}
