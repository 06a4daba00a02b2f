// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// patience is how long anything may take on a busy machine before it counts as not happening.
const patience = 20 * time.Second

// programsVariable names the environment variable that is the folder of a window and a fairlead which are built already.
const programsVariable = "FAIRLEAD_PROGRAMS"

// shared is what the session takes from the environment of the tests. On a laptop of a cluster there is a KUBECONFIG.
var shared = []string{"PATH", "LANG", "TMPDIR"}

// version is what the window is built as; the daemon of the tests says the same.
const version = "0.1.0"

// here is the session that all tests share.
var here *desktopSession

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "fd") // a socket's name can have 104 bytes at most
	if err == nil {
		defer os.RemoveAll(folder)
		here, err = startSession(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start a session:", err)
		return 1
	}
	defer here.end()
	return m.Run()
}

// desktopSession is a desktop of its own.
type desktopSession struct {
	folder      string
	programs    string // folder of the programs under test
	screen      screen
	environment []string
	bus         *dbus.Conn
	news        *notifications
	panel       *exec.Cmd
	ends        []func()
}

func startSession(folder string) (s *desktopSession, err error) {
	s = &desktopSession{folder: folder, programs: filepath.Join(folder, "bin")}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	for _, sub := range []string{"run", "home", "screen", "bin", "home/.config/xfce4/xfconf/xfce-perchannel-xml"} {
		if err := os.MkdirAll(filepath.Join(folder, sub), 0o700); err != nil {
			return s, err
		}
	}
	panel := filepath.Join(folder, "home/.config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml")
	if err := os.WriteFile(panel, []byte(panelConfig), 0o600); err != nil {
		return s, err
	}
	if given := os.Getenv(programsVariable); given != "" {
		s.programs = given
	} else if err := s.build(); err != nil {
		return s, err
	}
	home := filepath.Join(folder, "home")
	for _, name := range shared {
		if value, ok := os.LookupEnv(name); ok {
			s.environment = append(s.environment, name+"="+value)
		}
	}
	s.environment = append(s.environment,
		"HOME="+home, "XDG_CONFIG_HOME="+home+"/.config", "XDG_STATE_HOME="+home+"/.local/state", "XDG_RUNTIME_DIR="+filepath.Join(folder, "run"),
		"FAIRLEAD_DAEMON_SOCKET="+s.socket(), "NO_AT_BRIDGE=1", "XDG_CURRENT_DESKTOP=XFCE",
		// What somebody has set who works behind a proxy that is of no use here: the page must come without it.
		"http_proxy=http://192.0.2.1:3128", "HTTP_PROXY=http://192.0.2.1:3128",
	)
	display, err := s.startForLine("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-fbdir", filepath.Join(folder, "screen"), "-nolisten", "tcp")
	if err != nil {
		return s, err
	}
	s.environment = append(s.environment, "DISPLAY=:"+display)
	if s.screen, err = openScreen(filepath.Join(folder, "screen", "Xvfb_screen0")); err != nil {
		return s, err
	}
	address, err := s.startForLine("dbus-daemon", "--session", "--nofork", "--print-address=3")
	if err != nil {
		return s, err
	}
	s.environment = append(s.environment, "DBUS_SESSION_BUS_ADDRESS="+address)
	if s.bus, err = dbus.Connect(address); err != nil {
		return s, err
	}
	s.ends = append(s.ends, func() { s.bus.Close() })
	if s.news, err = serveNotifications(s.bus); err != nil {
		return s, err
	}
	if _, err = s.start("openbox"); err != nil {
		return s, err
	}
	return s, s.startPanel()
}

func (s *desktopSession) socket() string { return filepath.Join(s.folder, "run", "daemon.sock") }

// build builds the window, and the program whose daemon it starts.
func (s *desktopSession) build() error {
	root := filepath.Join("..", "..")
	for _, b := range []struct{ cgo, tags, name, folder string }{
		{"1", "desktop,production,webkit2_41", "fairlead-desktop", "."},
		{"0", "", "fairlead", "./app/cli"},
	} {
		command := exec.Command("go", "build", "-trimpath", "-tags", b.tags, "-ldflags", "-s -w -X main.version="+version, "-o", s.program(b.name), b.folder)
		command.Dir = root
		command.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.name, err, out)
		}
	}
	return nil
}

func (s *desktopSession) program(name string) string { return filepath.Join(s.programs, name) }

// command is a program in this session, which ends with the test.
func (s *desktopSession) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command(name, arguments...)
	command.Env = s.environment
	command.Dir = s.folder
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// start starts a program that stays.
func (s *desktopSession) start(name string, arguments ...string) (*exec.Cmd, error) {
	command := s.command(name, arguments...)
	return command, s.keep(command)
}

func (s *desktopSession) keep(command *exec.Cmd) error {
	if err := command.Start(); err != nil {
		return err
	}
	s.ends = append(s.ends, func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return nil
}

// startForLine starts a program that writes a line to its file 3 once it is ready.
func (s *desktopSession) startForLine(name string, arguments ...string) (string, error) {
	command := s.command(name, arguments...)
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer reader.Close()
	command.ExtraFiles = []*os.File{writer}
	err = s.keep(command)
	writer.Close()
	if err != nil {
		return "", err
	}
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s did not become ready: %w", name, err)
	}
	return strings.TrimSpace(line), nil
}

func (s *desktopSession) end() {
	for i := len(s.ends) - 1; i >= 0; i-- {
		s.ends[i]()
	}
}

// startPanel starts the host of the tray, and waits until it shows icons.
func (s *desktopSession) startPanel() error {
	s.panel = s.command("xfce4-panel", "--disable-wm-check")
	if err := s.keep(s.panel); err != nil {
		return err
	}
	return wait(context.Background(), "a panel with a tray", s.hasTray)
}

// endPanel takes the tray away.
func (s *desktopSession) endPanel(t *testing.T) {
	t.Helper()
	_ = s.panel.Process.Kill()
	_ = s.panel.Wait()
	must(t, wait(t.Context(), "the tray to go", func() error {
		if s.hasTray() == nil {
			return fmt.Errorf("it is still there")
		}
		return nil
	}))
}

func (s *desktopSession) hasTray() error {
	v, err := s.bus.Object("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher").GetProperty("org.kde.StatusNotifierWatcher.IsStatusNotifierHostRegistered")
	if err != nil {
		return err
	}
	if v.Value() != true {
		return fmt.Errorf("the watcher has no host")
	}
	return nil
}

// screenshot takes a picture of the whole screen, and keeps it in FAIRLEAD_SCREENSHOTS if that is set.
func (s *desktopSession) screenshot(t *testing.T, name string) image.Image {
	t.Helper()
	command := s.command("import", "-silent", "-window", "root", "png:-")
	content, err := command.Output()
	must(t, err)
	if folder := os.Getenv("FAIRLEAD_SCREENSHOTS"); folder != "" && name != "" {
		must(t, os.MkdirAll(folder, 0o755))
		must(t, os.WriteFile(filepath.Join(folder, "desktop-"+name+".png"), content, 0o644))
	}
	picture, err := png.Decode(bytes.NewReader(content))
	must(t, err)
	return picture
}

// tell runs xdotool and returns what it says.
func (s *desktopSession) tell(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := s.try("xdotool", arguments...)
	if err != nil {
		t.Fatalf("xdotool %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func (s *desktopSession) try(name string, arguments ...string) (string, error) {
	var out bytes.Buffer
	command := s.command(name, arguments...)
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return strings.TrimSpace(out.String()), err
}

// wait asks until there is no error.
func wait(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", patience, what, err)
		}
	}
}

func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	if err := wait(t.Context(), what, ask); err != nil {
		here.screenshot(t, "failed")
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// panelConfig is a panel along the top with nothing but a tray.
const panelConfig = `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="true"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="icon-size" type="uint" value="16"/>
      <property name="size" type="uint" value="26"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="1"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
  </property>
</channel>
`
