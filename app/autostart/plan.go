// SPDX-License-Identifier: Apache-2.0

package autostart

import (
	"encoding/xml"
	"path/filepath"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// name is what the window is called wherever programs that start at login are listed.
const name = "dev.fairlead.desktop"

// Folders are those of a user.
type Folders struct {
	Home   string
	Config string // XDG_CONFIG_HOME; empty, or not absolute, is .config in Home
}

// Plan is what there has to be for the window to start at login: a file, or a value in the registry of Windows.
type Plan struct {
	File    string
	Content string
	Value   *RegistryValue
}

// RegistryValue is a text in the part of the registry that belongs to the user.
type RegistryValue struct {
	Key, Name, Text string
}

// For returns the plan for a system, by its Go name.
func For(system string, folders Folders, program string) (Plan, error) {
	if strings.ContainsAny(program, "\n\r\x00\"") {
		return Plan{}, problem.New(problem.Usage, "Install Fairlead in a folder without such characters.", "the window can't start at login from %q", program)
	}
	switch system {
	case "linux":
		config := folders.Config
		if !filepath.IsAbs(config) {
			config = filepath.Join(folders.Home, ".config")
		}
		return Plan{File: filepath.Join(config, "autostart", name+".desktop"), Content: desktopEntry(program)}, nil
	case "darwin":
		return Plan{File: filepath.Join(folders.Home, "Library", "LaunchAgents", name+".plist"), Content: launchAgent(program)}, nil
	case "windows":
		return Plan{Value: &RegistryValue{Key: `Software\Microsoft\Windows\CurrentVersion\Run`, Name: "Fairlead", Text: `"` + program + `" --hidden`}}, nil
	}
	return Plan{}, problem.New(problem.Usage, "", "the window can't start at login on %s", system)
}

// desktopEntry is a file of the Desktop Entry Specification, version 1.5.
func desktopEntry(program string) string {
	// Within quotes these have a meaning, and the backslash once more because the value is a string (section "Exec").
	quoted := strings.NewReplacer(`\`, `\\\\`, "`", "\\\\`", `$`, `\\$`, `%`, `%%`).Replace(program)
	return `[Desktop Entry]
Type=Application
Name=Fairlead
Comment=Connects this laptop to a Kubernetes cluster
Exec="` + quoted + `" --hidden
Icon=fairlead
Terminal=false
StartupNotify=false
X-GNOME-Autostart-enabled=true
`
}

// launchAgent is a property list as launchd.plist(5) has it.
func launchAgent(program string) string {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(program))
	return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>` + name + `</string>
	<key>ProgramArguments</key>
	<array>
		<string>` + escaped.String() + `</string>
		<string>--hidden</string>
	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>ProcessType</key>
	<string>Interactive</string>
</dict>
</plist>
`
}
