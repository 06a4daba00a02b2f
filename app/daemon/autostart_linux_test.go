// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/settings"
)

// TestStartAtLogin: the setting is what the system does, so it is not saved where the system can't.
func TestStartAtLogin(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	o := &operations{log: slog.New(slog.DiscardHandler), settings: settings.NewStore(filepath.Join(t.TempDir(), "settings.json")), board: newBoard()}
	files := func() []string {
		found, _ := filepath.Glob(filepath.Join(config, "autostart", "*"))
		return found
	}
	got, err := o.SaveSettings(t.Context(), localapi.Settings{Autostart: true, Theme: settings.ThemeDark})
	if !errors.Is(err, problem.New(problem.NotFound, "", "")) || got.Autostart || got.Theme != settings.ThemeDark || len(files()) > 0 {
		t.Errorf("without the window's program: %+v, %v, %v", got, err, files())
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	window := filepath.Join(filepath.Dir(own), "fairlead-desktop")
	if err := os.WriteFile(window, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(window)
	for _, on := range []bool{true, false} {
		got, err := o.SaveSettings(t.Context(), localapi.Settings{Autostart: on})
		if err != nil || got.Autostart != on || len(files()) > 0 != on {
			t.Errorf("%v: %+v, %v, %v", on, got, err, files())
		}
	}
}
