// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// resolvedPackages is a folder with systemd-resolved and what it needs, unpacked. Installing the packages instead
// would replace the machine's own resolv.conf.
type resolvedPackages struct{ folder string }

const resolvedComponent = "systemd-resolved"

// fetchResolved downloads Debian's packages once for a checkout.
func fetchResolved(ctx context.Context, root string, progress io.Writer) (*resolvedPackages, error) {
	cache := filepath.Join(root, ".cluster", "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("create package cache: %w", err)
	}
	unlock, err := lockFile(filepath.Join(cache, ".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	packages := &resolvedPackages{filepath.Join(cache, "systemd-resolved")}
	if _, err := os.Stat(packages.folder); err == nil {
		return packages, nil
	}
	fmt.Fprintln(progress, "download systemd-resolved")
	temporary, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return nil, fmt.Errorf("create package cache: %w", err)
	}
	defer os.RemoveAll(temporary)
	run := func(args ...string) error {
		command := exec.CommandContext(ctx, args[0], args[1:]...)
		command.Dir = temporary
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("get systemd-resolved: %s: %w: %s", args[0], err, bytes.TrimSpace(output))
		}
		return nil
	}
	// The download's own user can't write here.
	err = run("apt-get", "-o", "APT::Sandbox::User=root", "download", "systemd-resolved", "systemd", "libsystemd-shared")
	if err != nil {
		return nil, err
	}
	archives, err := filepath.Glob(filepath.Join(temporary, "*.deb"))
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	for _, archive := range archives {
		if err := run("dpkg", "-x", archive, "unpacked"); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(filepath.Join(temporary, "unpacked"), packages.folder); err != nil {
		return nil, fmt.Errorf("put systemd-resolved in place: %w", err)
	}
	return packages, nil
}

// installed is where the packages' tree is seen on the laptop.
const installed = "/opt/systemd"

// busConfig lets everybody do everything on the bus; systemd-resolved still asks who the caller is.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true"/>
    <allow receive_requested_reply="true"/>
  </policy>
</busconfig>
`

const resolvedConfig = `[Resolve]
FallbackDNS=
LLMNR=no
MulticastDNS=no
DNSSEC=no
`

// addTo makes a laptop's resolv.conf the stub's, as distributions do, and its tools those of the packages.
func (p *resolvedPackages) addTo(spec *host.Spec) {
	spec.Binds = append(spec.Binds, host.Bind{Source: p.folder, Target: installed})
	spec.Directories = append(spec.Directories,
		host.Directory{Path: "/run/dbus", Mode: 0o755},
		host.Directory{Path: "/run/systemd", Mode: 0o755},
		host.Directory{Path: "/run/systemd/resolve", Mode: 0o755, UID: 991, GID: 991},
	)
	spec.Files = append(spec.Files,
		host.File{Path: "/etc/dbus-1/cluster.conf", Content: busConfig, Mode: 0o644},
		host.File{Path: "/etc/systemd/resolved.conf", Content: resolvedConfig, Mode: 0o644},
	)
	for _, tool := range []string{"resolvectl", "busctl"} {
		script := fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s \"$@\"\n", libraries, installed+"/usr/bin/"+tool)
		spec.Files = append(spec.Files, host.File{Path: "/usr/local/bin/" + tool, Content: script, Mode: 0o755})
	}
	spec.Symlinks = append(spec.Symlinks, host.Symlink{Path: "/etc/resolv.conf", Target: "../run/systemd/resolve/stub-resolv.conf"})
}

// libraries is where the packages have their shared library, by Debian's name of the architecture.
var libraries = installed + "/usr/lib/" + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-linux-gnu/systemd"

// startResolved starts the system bus and systemd-resolved, with the internet host as the link's DNS server.
func (l *Laptop) startResolved(ctx context.Context) error {
	bus := host.Component{
		Name: "dbus-daemon",
		Args: []string{"/usr/bin/dbus-daemon", "--nofork", "--nopidfile", "--config-file=/etc/dbus-1/cluster.conf"},
		Env:  []string{"PATH=" + systemPath}, Log: l.cluster.logFile(l.Member, "dbus-daemon"),
	}
	if err := l.StartComponent(ctx, bus); err != nil {
		return err
	}
	err := poll(ctx, "system bus on "+l.Name, 10*time.Second, func() error {
		_, err := os.Stat(l.Path("/run/dbus/system_bus_socket"))
		return err
	})
	if err != nil {
		return err
	}
	if err := l.StartResolver(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{{"dns", uplink, publicDNS4.String()}, {"default-route", uplink, "yes"}} {
		output, err := l.Command(ctx, "root", append([]string{"resolvectl"}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("set DNS server of %s: %w: %s", l.Name, err, bytes.TrimSpace(output))
		}
	}
	return nil
}

// StopResolver ends systemd-resolved, as an update of it would.
func (l *Laptop) StopResolver(ctx context.Context) error {
	return l.StopComponent(ctx, resolvedComponent, 5*time.Second)
}

// StartResolver starts systemd-resolved and returns when it answers on the bus. It remembers the DNS server of the
// link.
func (l *Laptop) StartResolver(ctx context.Context) error {
	component := host.Component{
		Name: resolvedComponent,
		Args: []string{installed + "/lib/systemd/systemd-resolved"},
		Env:  []string{"PATH=" + systemPath, "LD_LIBRARY_PATH=" + libraries},
		Log:  l.cluster.logFile(l.Member, resolvedComponent),
	}
	if err := l.StartComponent(ctx, component); err != nil {
		return err
	}
	return poll(ctx, "systemd-resolved on "+l.Name, 15*time.Second, func() error {
		return l.Command(ctx, "root", "resolvectl", "status").Run()
	})
}
