// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Key is one setting by its name, as people change it.
type Key struct {
	Name string // as in the file
	What string // in a few words
	Says string // what counts while it is not set
	// Values are the usual ones; nil where any text will do.
	Values []string
	get    func(Settings) string
	set    func(*Settings, string) error
}

// Keys are all settings, in the order in which they are shown.
func Keys() []Key {
	return []Key{
		list("kubeconfigs", "kubeconfig files, in order of precedence", "$KUBECONFIG, else ~/.kube/config", func(s *Settings) *[]string { return &s.Kubeconfigs }),
		text("carrier", "how packets travel", "auto", Carriers, func(s *Settings) *string { return &s.Carrier }),
		list("include", "ranges reached through the cluster besides its own", "none", func(s *Settings) *[]string { return &s.Include }),
		list("exclude", "ranges left out", "none", func(s *Settings) *[]string { return &s.Exclude }),
		list("dnsDomains", "domains asked of the cluster's DNS besides its own names", "none", func(s *Settings) *[]string { return &s.DNSDomains }),
		list("dnsExclude", "names that resolve as without Fairlead", "none", func(s *Settings) *[]string { return &s.DNSExclude }),
		flag("mapConflicts", "reach ranges that clash with a network of this machine under other addresses", func(s *Settings) *bool { return &s.MapConflicts }),
		text("gatewayNamespace", "namespace of the gateway", "fairlead", nil, func(s *Settings) *string { return &s.GatewayNamespace }),
		flag("autostart", "start the window, in the tray, at login", func(s *Settings) *bool { return &s.Autostart }),
		text("connectAtStart", "context that the window connects to when it starts", "none", nil, func(s *Settings) *string { return &s.ConnectAtStart }),
		{
			Name: "theme", What: "how the page looks", Says: string(ThemeSystem), Values: []string{string(ThemeSystem), string(ThemeLight), string(ThemeDark)},
			get: func(s Settings) string { return string(s.Theme) },
			set: func(s *Settings, value string) error { s.Theme = Theme(value); return nil },
		},
		flag("quiet", "no notifications of the desktop", func(s *Settings) *bool { return &s.Quiet }),
		text("terminal", "program that opens a terminal", "the desktop's own", nil, func(s *Settings) *string { return &s.Terminal }),
	}
}

// Value returns what is set, as Set takes it; empty if nothing is.
func (k Key) Value(s Settings) string { return k.get(s) }

// Set returns s with another value of a setting: lists with commas between their entries, switches as true or false. An
// empty value is the default. Errors are *problem.Problem.
func Set(s Settings, name, value string) (Settings, error) {
	var names []string
	for _, key := range Keys() {
		if key.Name == name {
			changed := s.clone()
			if err := key.set(&changed, strings.TrimSpace(value)); err != nil {
				return s, err
			}
			if err := changed.Check(); err != nil {
				return s, err
			}
			return changed, nil
		}
		names = append(names, key.Name)
	}
	return s, problem.New(problem.Usage, "There are: "+strings.Join(names, ", ")+".", "there is no setting %.60q", name)
}

func text(name, what, says string, values []string, of func(*Settings) *string) Key {
	return Key{
		Name: name, What: what, Says: says, Values: values,
		get: func(s Settings) string { return *of(&s) },
		set: func(s *Settings, value string) error { *of(s) = value; return nil },
	}
}

func list(name, what, says string, of func(*Settings) *[]string) Key {
	return Key{
		Name: name, What: what, Says: says,
		get: func(s Settings) string { return strings.Join(*of(&s), ",") },
		set: func(s *Settings, value string) error {
			entries := strings.Split(value, ",")
			for i := range entries {
				entries[i] = strings.TrimSpace(entries[i])
			}
			*of(s) = slices.DeleteFunc(entries, func(entry string) bool { return entry == "" })
			return nil
		},
	}
}

func flag(name, what string, of func(*Settings) *bool) Key {
	return Key{
		Name: name, What: what, Says: "false", Values: []string{"true", "false"},
		get: func(s Settings) string {
			if !*of(&s) {
				return ""
			}
			return "true"
		},
		set: func(s *Settings, value string) error {
			if value == "" {
				value = "false"
			}
			on, err := strconv.ParseBool(value)
			if err != nil {
				return problem.New(problem.Usage, "Use true or false.", "%s: %.60q is neither true nor false", name, value)
			}
			*of(s) = on
			return nil
		},
	}
}
