// SPDX-License-Identifier: Apache-2.0

package host

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ControlSocket is where a host's init listens for Component requests, as seen from inside the host.
const ControlSocket = "/run/cluster-host.sock"

// Spec says how a host's file system and kernel settings look. The zero value is a host that shares every file with
// the machine and has only a loopback link.
//
// Steps happen in the order of the fields. Paths are absolute. Bind sources are paths of the machine; everything else
// is inside the host.
type Spec struct {
	// Hostname is the host's name, also in its /etc/hosts if a File puts it there.
	Hostname string `json:"hostname"`
	// Staging is an existing folder that only this host uses, for mounts needed while starting.
	Staging string `json:"staging"`
	// Overlays are folders whose changes stay in the host, in memory, and are gone with it.
	Overlays []string `json:"overlays,omitempty"`
	// Tmpfs are folders that start empty and live in memory.
	Tmpfs []Directory `json:"tmpfs,omitempty"`
	// Binds make files and folders of the machine visible (again) in the host.
	Binds []Bind `json:"binds,omitempty"`
	// Directories, Files and Symlinks are created; existing files and links are replaced.
	Directories []Directory `json:"directories,omitempty"`
	Files       []File      `json:"files,omitempty"`
	Symlinks    []Symlink   `json:"symlinks,omitempty"`
	// Masks cover existing files, also kernel ones, with fixed content. Writes to them change nothing.
	Masks []File `json:"masks,omitempty"`
	// Sysctls are written as /proc/sys paths, such as net/ipv4/ip_forward. They should be network ones, which belong
	// to the namespace.
	Sysctls []Sysctl `json:"sysctls,omitempty"`
	// Cgroups are paths created below each control group hierarchy, such as /fairlead-dev/node1.
	Cgroups []string `json:"cgroups,omitempty"`
}

// Directory is a folder and its owner.
type Directory struct {
	Path string      `json:"path"`
	Mode fs.FileMode `json:"mode"`
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
}

// File is a file with its content and owner.
type File struct {
	Path    string      `json:"path"`
	Content string      `json:"content"`
	Mode    fs.FileMode `json:"mode"`
	UID     int         `json:"uid,omitempty"`
	GID     int         `json:"gid,omitempty"`
}

// Bind makes Source, a path of the machine, visible at Target in the host.
type Bind struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Symlink makes Path point to Target.
type Symlink struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// Sysctl is one kernel setting below /proc/sys.
type Sysctl struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Write stores the spec at path for Init to read.
func (s Spec) Write(path string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode host spec: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("create folder of host spec: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write host spec: %w", err)
	}
	return nil
}

// ReadSpec reads what Write stored.
func ReadSpec(path string) (Spec, error) {
	var spec Spec
	data, err := os.ReadFile(path)
	if err != nil {
		return spec, fmt.Errorf("read host spec: %w", err)
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return spec, fmt.Errorf("decode host spec %s: %w", path, err)
	}
	return spec, nil
}
