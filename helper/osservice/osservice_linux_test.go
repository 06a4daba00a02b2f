// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSystemdAcceptsTheUnit has systemd check the unit, with a program that exists in place of ours.
func TestSystemdAcceptsTheUnit(t *testing.T) {
	unit := filepath.Join(t.TempDir(), "fairlead-helper.service")
	text := strings.Replace(systemdUnit, Files.Program, "/bin/true", 1)
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze: %v\n%s", err, output)
	}
	// It complains about lines that it does not know and succeeds all the same.
	if strings.Contains(string(output), unit) {
		t.Errorf("systemd says:\n%s", output)
	}
}

func TestUnitFitsTheLayout(t *testing.T) {
	for _, want := range []string{
		"ExecStart=" + Files.Program + " run",
		"StateDirectory=" + filepath.Base(Files.State),
		"RuntimeDirectory=fairlead",
		"Type=notify",
		"Restart=always",
		"NoNewPrivileges=yes",
		"ProtectSystem=strict",
	} {
		if !slices.Contains(strings.Split(systemdUnit, "\n"), want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	if !strings.Contains(initScript, "DAEMON="+Files.Program+"\n") {
		t.Error("the init script starts another program")
	}
	if strings.Contains(systemdUnit+initScript, "{{") {
		t.Error("the library would take a part for a template")
	}
}

func TestShellAcceptsTheInitScript(t *testing.T) {
	command := exec.Command("sh", "-n")
	command.Stdin = strings.NewReader(initScript)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func TestReplaceWithIsWholeOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "libexec", "program")
	if err := replaceWith(path, strings.NewReader("first"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := replaceWith(path, failing{}, 0o755); err == nil {
		t.Error("a source that breaks off is no error")
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "first" {
		t.Errorf("%q, %v", content, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// TestReadyTellsSystemd listens where systemd would.
func TestReadyTellsSystemd(t *testing.T) {
	if err := Ready(); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Ready(); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 64)
	n, err := listener.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Errorf("got %q, %v", message[:n], err)
	}
	if _, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Error("programs that are started later would be taken for the service")
	}
}
