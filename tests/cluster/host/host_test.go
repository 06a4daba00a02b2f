// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

func TestSpecSurvivesStorage(t *testing.T) {
	want := Spec{
		Hostname: "h", Staging: "/s", Overlays: []string{"/etc"}, Tmpfs: []Directory{{Path: "/tmp", Mode: 0o777 | os.ModeSticky}},
		Binds: []Bind{{"/a", "/b"}}, Files: []File{{Path: "/etc/x", Content: "é\n", Mode: 0o600, UID: 1, GID: 2}},
		Symlinks: []Symlink{{"/l", "x"}}, Sysctls: []Sysctl{{"net/ipv4/ip_forward", "1"}}, Cgroups: []string{"/g"},
	}
	path := filepath.Join(t.TempDir(), "folder", "spec.json")
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSpec(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFindWithoutHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec.json")
	if _, err := Find(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("found a host that was never started: %v", err)
	}
	if err := EndAll(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func TestInitRefusesToChangeTheMachine(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := Init("/nowhere", writer); err == nil {
		t.Error("Init went on in a process that is not PID 1")
	}
}

func TestGone(t *testing.T) {
	if gone(os.Getpid()) {
		t.Error("this process counts as gone")
	}
	command := exec.Command("true")
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	if !gone(command.Process.Pid) {
		t.Error("a process that has ended does not count as gone")
	}
}

// TestSupervisor drives a supervisor through its socket, as Host does.
func TestSupervisor(t *testing.T) {
	folder := t.TempDir()
	socket := filepath.Join(folder, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- newSupervisor().serve(listener) }()
	defer func() {
		listener.Close()
		<-served
	}()
	host := newHost(os.Getpid(), "")
	host.control = controlClient(socket)
	component := Component{Name: "sleeper", Args: []string{"/bin/sleep", "1000"}, Log: filepath.Join(folder, "log")}
	if err := host.StartComponent(t.Context(), component); err != nil {
		t.Fatal(err)
	}
	if err := host.StartComponent(t.Context(), component); err == nil {
		t.Error("a component was started twice")
	}
	if status := only(t, host); !status.Running || status.PID == 0 {
		t.Errorf("running: %+v", status)
	}
	if err := host.StopComponent(t.Context(), "sleeper", 0); err != nil {
		t.Fatal(err)
	}
	if status := only(t, host); status.Running || status.Exit != "signal: killed" {
		t.Errorf("killed: %+v", status)
	}
	if err := host.StopComponent(t.Context(), "unknown", 0); err != nil {
		t.Error(err)
	}
	if err := host.StartComponent(t.Context(), Component{Name: "empty", Log: component.Log}); err == nil {
		t.Error("a component without a program was started")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := host.Components(canceled); err == nil {
		t.Error("a request went on after its context had ended")
	}
}

func only(t *testing.T, host *Host) ComponentStatus {
	t.Helper()
	list, err := host.Components(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("components: %+v, %v", list, err)
	}
	return list[0]
}
