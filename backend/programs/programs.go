// SPDX-License-Identifier: Apache-2.0

// Package programs says which programs of this machine wait for connections, so that people can pick one instead of
// typing a port.
//
// It reads what the operating system says, and must not connect to anything.
package programs

// Program is a socket that a program of this machine listens on. It is plain data.
type Program struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"` // TCP or UDP
	// Address is where it listens: 127.0.0.1, 0.0.0.0, ::1, :: or another one of this machine.
	Address string `json:"address"`
	PID     int    `json:"pid,omitempty"`     // 0 where the system does not tell, as of other users' programs
	Name    string `json:"name,omitempty"`    // such as node, java or api
	Command string `json:"command,omitempty"` // the command line, shortened; without what may be secret in it
	Folder  string `json:"folder,omitempty"`  // its working directory
}
