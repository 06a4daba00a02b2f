// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	_ "embed" // the script
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// systemdScript boots systemd; its argument is the control group to do so in.
//
//go:embed systemd.sh
var systemdScript string

// System is a laptop under systemd: its network and files, and a PID 1 of its own that is a real systemd, with the
// services that are installed there after its start.
type System struct {
	laptop *Laptop
	// PID is systemd's process on the machine.
	PID int
}

const (
	systemdComponent = "systemd"
	systemdTarget    = "laptop.target"
	systemdLimit     = 30 * time.Second
)

// StartSystemd boots systemd on the laptop. It ends with StopSystemd, or with the cluster.
func (l *Laptop) StartSystemd(ctx context.Context) (*System, error) {
	group := l.cluster.cgroup(l.Member)
	component := host.Component{
		Name: systemdComponent,
		Args: []string{"/bin/bash", "-c", systemdScript, systemdComponent, group, systemdTarget},
		Env:  []string{"PATH=" + systemPath, "container=fairlead"},
		Log:  l.cluster.logFile(l.Member, systemdComponent),
	}
	if err := l.StartComponent(ctx, component); err != nil {
		return nil, err
	}
	system := &System{laptop: l}
	return system, poll(ctx, "systemd on "+l.Name, systemdLimit, func() error {
		pid, err := findSystemd(group)
		if err != nil {
			return err
		}
		system.PID = pid
		if output, err := system.Command(ctx, "root", "systemctl", "is-active", systemdTarget).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
		}
		return nil
	})
}

// StopSystemd ends systemd and all that it runs, at once. Files that were written stay.
func (l *Laptop) StopSystemd(ctx context.Context) error {
	return l.StopComponent(ctx, systemdComponent, 0)
}

// Command is like Laptop's, below systemd, and without the repository's programs: what is installed is found.
func (s *System) Command(ctx context.Context, user string, args ...string) *exec.Cmd {
	home, _ := account(user)
	var environment []string
	for _, setting := range s.laptop.Environment(user) {
		if !strings.HasPrefix(setting, "PATH=") {
			environment = append(environment, setting)
		}
	}
	inside := &host.Host{PID: s.PID, Binary: s.laptop.Binary}
	return inside.Command(ctx, host.ExecOptions{User: user, Dir: home}, append(environment, "PATH="+systemPath), args...)
}

// findSystemd returns the process on the machine that is the systemd of a control group.
func findSystemd(group string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, file := range files {
		groups, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(groups), ":"+group+"/init.scope") {
			continue
		}
		pid := filepath.Base(filepath.Dir(file))
		name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err == nil && strings.TrimSpace(string(name)) == "systemd" {
			return strconv.Atoi(pid)
		}
	}
	return 0, fmt.Errorf("no systemd in the control group %s", group)
}
