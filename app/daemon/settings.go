// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/app/autostart"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/backend/settings"
	"github.com/fairlead-dev/fairlead/backend/terminal"
)

// Settings returns what the user has chosen, and shows it, should the file have been edited.
func (o *operations) Settings() localapi.Settings {
	now, err := o.settings.Get()
	o.board.update(func(f *facts) { f.settings, f.settingsProblem = now, problem.From(err) })
	return now
}

func (o *operations) SaveSettings(_ context.Context, wanted localapi.Settings) (localapi.Settings, error) {
	before := o.Settings()
	if err := readable(wanted.Kubeconfigs, before.Kubeconfigs); err != nil {
		return before, err
	}
	if wanted.Terminal != before.Terminal {
		if err := terminal.Check(wanted.Terminal); err != nil {
			return before, err
		}
	}
	if err := o.settings.Save(wanted); err != nil {
		return o.Settings(), err
	}
	if wanted.Autostart != before.Autostart {
		if err := startAtLogin(wanted.Autostart); err != nil {
			wanted.Autostart = before.Autostart
			if undo := o.settings.Save(wanted); undo != nil {
				o.log.Warn("settings are not put back", "error", undo)
			}
			return o.Settings(), err
		}
	}
	o.log.Info("settings saved", "file", o.settings.File())
	now := o.Settings()
	o.board.note(localapi.Event{Kind: activity.Settings, Level: activity.Info, Name: activity.SettingsSaved, Text: "The settings were saved. Those of connections count from the next connect on."})
	return now, nil
}

// readable refuses a kubeconfig that is newly named and can't be read: it would be found missing at the next connect only. One that
// was named before may be gone, so that other settings can be saved.
func readable(wanted, before []string) error {
	for _, file := range wanted {
		if slices.Contains(before, file) || !filepath.IsAbs(file) { // what is no full path is refused by the settings themselves
			continue
		}
		info, err := os.Stat(file)
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("that is not a file")
		}
		if err == nil {
			var opened *os.File
			if opened, err = os.Open(file); err == nil {
				_ = opened.Close()
			}
		}
		if err != nil {
			return problem.Wrap(err, problem.Usage, "Check the path; the file has to be there, and yours to read.", "kubeconfigs: %s can't be used", file)
		}
	}
	return nil
}

// startAtLogin makes the window that was installed beside this program start when the user logs in, or not.
func startAtLogin(on bool) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	if on {
		if program, err = autostart.FindWindow(program); err != nil {
			return err
		}
	}
	return autostart.Set(on, program)
}

// withSettings fills in what a connect leaves open.
func withSettings(r localapi.ConnectRequest, s settings.Settings) localapi.ConnectRequest {
	t := targetWithSettings(localapi.TargetOf(r), s)
	r.Kubeconfigs, r.GatewayNamespace = t.Kubeconfigs, t.GatewayNamespace
	if r.Carrier == "" {
		r.Carrier = session.CarrierMode(s.Carrier)
	}
	if len(r.Include) == 0 {
		r.Include = s.Include
	}
	if len(r.Exclude) == 0 {
		r.Exclude = s.Exclude
	}
	if len(r.DNSDomains) == 0 {
		r.DNSDomains = s.DNSDomains
	}
	if len(r.DNSExclude) == 0 {
		r.DNSExclude = s.DNSExclude
	}
	r.MapConflicts = r.MapConflicts || s.MapConflicts
	return r
}

// targetWithSettings fills in what a target leaves open. A KUBECONFIG in the caller's shell is as good as a flag: people set
// it for one shell.
func targetWithSettings(t localapi.Target, s settings.Settings) localapi.Target {
	chosen := slices.ContainsFunc(t.Environment, func(v string) bool {
		value, ok := strings.CutPrefix(v, "KUBECONFIG=")
		return ok && value != ""
	})
	if len(t.Kubeconfigs) == 0 && !chosen {
		t.Kubeconfigs = s.Kubeconfigs
	}
	if t.GatewayNamespace == "" {
		t.GatewayNamespace = s.GatewayNamespace
	}
	return t
}
