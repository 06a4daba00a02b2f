// SPDX-License-Identifier: Apache-2.0

package host

import "time"

// Component is a program that a host's init runs, in a session of its own.
type Component struct {
	// Name identifies it in the host. Letters, digits and hyphens.
	Name string `json:"name"`
	// Args is the program, as an absolute path, and its arguments.
	Args []string `json:"args"`
	// Env is its whole environment.
	Env []string `json:"env,omitempty"`
	// Log is the file that its output is appended to, as seen from inside the host.
	Log string `json:"log"`
}

// ComponentStatus is what became of a component.
type ComponentStatus struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	// PID is the process inside the host's PID namespace.
	PID int `json:"pid"`
	// Exit says how it ended, such as "exit status 1" or "signal: killed"; empty while it runs.
	Exit string `json:"exit,omitempty"`
	// Log is the file that has its output.
	Log string `json:"log"`
}

// stopRequest asks to end a component.
type stopRequest struct {
	// Grace is how long it has after SIGTERM before SIGKILL. Zero or less kills at once.
	Grace time.Duration `json:"grace"`
}
