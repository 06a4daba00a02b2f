// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// window is a process of fairlead-desktop.
type window struct {
	*exec.Cmd
	output *bytes.Buffer
	began  time.Time
	ended  chan struct{}
}

// startWindow starts the window, which ends with the test.
func startWindow(t *testing.T, arguments ...string) *window {
	t.Helper()
	w := &window{Cmd: here.command(here.program("fairlead-desktop"), arguments...), output: &bytes.Buffer{}, began: time.Now(), ended: make(chan struct{})}
	w.Stdout, w.Stderr = w.output, w.output
	// The signal for the death of the parent would come with the thread that started it.
	w.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, w.Start())
	go func() {
		_ = w.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-w.Process.Pid, syscall.SIGKILL) // with the processes of the web view
		<-w.ended
		if t.Failed() {
			t.Logf("the window said:\n%s", w.output)
		}
	})
	return w
}

// ends waits for the end, and returns the status.
func (w *window) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-w.ended:
		return w.ProcessState.ExitCode()
	case <-time.After(patience):
		here.screenshot(t, "failed")
		t.Fatal("the window does not end")
		return -1
	}
}

func (w *window) icon() trayIcon {
	return trayIcon{bus: here.bus, name: fmt.Sprintf("org.kde.StatusNotifierItem-%d-1", w.Process.Pid)}
}

// xids are the windows of the process that are on the screen.
func (w *window) xids() []string {
	out, err := here.try("xdotool", "search", "--onlyvisible", "--name", "^Fairlead$")
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.Fields(out), func(id string) bool {
		pid, err := here.try("xdotool", "getwindowpid", id)
		return err != nil || pid != fmt.Sprint(w.Process.Pid)
	})
}

// seen waits until the window is on the screen, and returns its X11 name.
func (w *window) seen(t *testing.T) string {
	t.Helper()
	var id string
	eventually(t, "the window on the screen", func() error {
		found := w.xids()
		if len(found) != 1 {
			return fmt.Errorf("windows: %v", found)
		}
		id = found[0]
		return nil
	})
	return id
}

func (w *window) unseen(t *testing.T) {
	t.Helper()
	eventually(t, "the window off the screen", func() error {
		if found := w.xids(); len(found) > 0 {
			return errors.New("it is there")
		}
		return nil
	})
}

// close closes the window as its button does.
func (w *window) close(t *testing.T) {
	t.Helper()
	id := w.seen(t)
	here.tell(t, "windowactivate", "--sync", id, "key", "alt+F4")
}

// active waits until the window has the focus.
func (w *window) active(t *testing.T, id string) {
	t.Helper()
	eventually(t, "the window to be in front", func() error {
		now, err := here.try("xdotool", "getactivewindow")
		if err != nil || now != id {
			return fmt.Errorf("%s is, not %s (%v)", now, id, err)
		}
		return nil
	})
}

// geometry is where the window is, and how large.
func geometry(t *testing.T, id string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for part := range strings.FieldsSeq(here.tell(t, "getwindowgeometry", "--shell", id)) {
		if name, value, ok := strings.Cut(part, "="); ok && slices.Contains([]string{"X", "Y", "WIDTH", "HEIGHT"}, name) {
			values[name] = value
		}
	}
	return values
}
