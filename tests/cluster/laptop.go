// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// Laptop is a developer's machine beside the cluster. It has two people, dev (who may use the helper, being in group
// fairlead) and other, and root. Everything that programs write there is the laptop's own, but for the repository and
// Go's caches, which are the machine's.
type Laptop struct {
	*host.Host
	Member
	// Number counts from 1.
	Number  int
	cluster *Cluster
}

// Users and groups of a laptop.
const (
	// Developer is the laptop's owner, in group fairlead.
	Developer = "dev"
	// OtherUser is someone else with a login, in no group.
	OtherUser = "other"

	developerUID = 1000
	otherUID     = 1001
	fairleadGID  = 990
)

// Command prepares a program to run on the laptop as one of its users ("root", Developer, OtherUser), in their home,
// with PATH (the repository's bin first), HOME, KUBECONFIG and XDG_RUNTIME_DIR set. The program is killed when the
// command is, or when ctx ends; programs that it has put in the background stay until the cluster goes down. Add to
// Env to set more variables.
func (l *Laptop) Command(ctx context.Context, user string, args ...string) *exec.Cmd {
	home, _ := account(user)
	return l.Host.Command(ctx, host.ExecOptions{PID: l.PID, User: user, Dir: home}, l.Environment(user), args...)
}

// CommandIn is Command with another working folder, as seen on the laptop.
func (l *Laptop) CommandIn(ctx context.Context, user, dir string, args ...string) *exec.Cmd {
	return l.Host.Command(ctx, host.ExecOptions{PID: l.PID, User: user, Dir: dir}, l.Environment(user), args...)
}

// Environment is the whole environment of Command.
func (l *Laptop) Environment(user string) []string {
	home, uid := account(user)
	path := []string{filepath.Join(l.cluster.config.Root, "bin"), l.cluster.toolsFolder()}
	if compiler, err := exec.LookPath("go"); err == nil {
		path = append(path, filepath.Dir(compiler))
	}
	environment := []string{
		"PATH=" + strings.Join(append(path, systemPath), ":"),
		"HOME=" + home, "USER=" + user, "LOGNAME=" + user, "SHELL=/bin/bash", "LANG=C.UTF-8",
		fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", uid),
	}
	if terminal := os.Getenv("TERM"); terminal != "" {
		environment = append(environment, "TERM="+terminal)
	}
	switch user {
	case "root":
		environment = append(environment, "KUBECONFIG="+l.cluster.AdminKubeconfig())
	case Developer:
		environment = append(environment, "KUBECONFIG="+l.kubeconfig())
	}
	return environment
}

// KubernetesUser is who the laptop's developer is to the API server: dev on the first laptop, dev2 on the second.
func (l *Laptop) KubernetesUser() string {
	if l.Number == 1 {
		return Developer
	}
	return fmt.Sprintf("%s%d", Developer, l.Number)
}

// kubeconfig is the developer's, with rights to everything.
func (l *Laptop) kubeconfig() string {
	return filepath.Join(l.cluster.folder, "kubeconfigs", l.Name+".kubeconfig")
}

func account(user string) (home string, uid int) {
	switch user {
	case Developer:
		return "/home/" + Developer, developerUID
	case OtherUser:
		return "/home/" + OtherUser, otherUID
	}
	return "/root", 0
}

func (c *Cluster) toolsFolder() string { return filepath.Join(c.folder, "tools") }

// laptopSpec is a laptop's file system: the machine's, with every place that programs write to private.
func (c *Cluster) laptopSpec(member Member, number int, resolver *resolvedPackages) (host.Spec, error) {
	laptop := &Laptop{Member: member, Number: number, cluster: c}
	if err := c.writeUserKubeconfig(laptop.kubeconfig(), laptop.KubernetesUser(), developerUID, AdminGroup); err != nil {
		return host.Spec{}, err
	}
	passwd, group, err := accountFiles()
	if err != nil {
		return host.Spec{}, err
	}
	spec := host.Spec{
		Hostname: member.Name,
		Tmpfs:    []host.Directory{{Path: "/run", Mode: 0o755}, {Path: "/tmp", Mode: 0o777 | fs.ModeSticky}},
		Directories: []host.Directory{
			{Path: "/home/" + Developer, Mode: 0o755, UID: developerUID, GID: developerUID},
			{Path: "/home/" + OtherUser, Mode: 0o755, UID: otherUID, GID: otherUID},
			{Path: "/run/user", Mode: 0o755}, {Path: "/run/user/0", Mode: 0o700}, {Path: "/run/lock", Mode: 0o777 | fs.ModeSticky},
			{Path: fmt.Sprintf("/run/user/%d", developerUID), Mode: 0o700, UID: developerUID, GID: developerUID},
			{Path: fmt.Sprintf("/run/user/%d", otherUID), Mode: 0o700, UID: otherUID, GID: otherUID},
		},
		Files: []host.File{
			{Path: "/etc/hostname", Content: member.Name + "\n", Mode: 0o644},
			{Path: "/etc/hosts", Content: c.hostsFile(member), Mode: 0o644},
			{Path: "/etc/resolv.conf", Content: resolvConf(), Mode: 0o644},
			{Path: "/etc/nsswitch.conf", Content: "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n", Mode: 0o644},
			{Path: "/etc/passwd", Content: passwd, Mode: 0o644},
			{Path: "/etc/group", Content: group, Mode: 0o644},
		},
		Sysctls: commonSysctls(),
		Cgroups: []string{c.cgroup(member)},
	}
	for _, folder := range []string{"/etc", "/var", "/usr", "/usr/local", "/opt", "/root", "/home"} {
		if info, err := os.Lstat(folder); err == nil && info.IsDir() {
			spec.Overlays = append(spec.Overlays, folder)
		}
	}
	if err := c.shareCaches(&spec); err != nil {
		return host.Spec{}, err
	}
	c.openPathToRepository(&spec)
	if resolver != nil {
		resolver.addTo(&spec)
	}
	return spec, nil
}

// shareCaches makes Go's caches the machine's own on the laptop too.
func (c *Cluster) shareCaches(spec *host.Spec) error {
	output, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("ask go for its caches: %w", err)
	}
	for cache := range strings.FieldsSeq(string(output)) {
		if info, err := os.Stat(cache); err == nil && info.IsDir() {
			spec.Binds = append(spec.Binds, host.Bind{Source: cache, Target: cache})
		}
	}
	return nil
}

// openPathToRepository lets every user of the laptop reach the repository's programs, as installed programs can be
// reached, also when the checkout is in a home that is closed to others.
func (c *Cluster) openPathToRepository(spec *host.Spec) {
	for folder := filepath.Dir(c.config.Root); folder != "/"; folder = filepath.Dir(folder) {
		private := slices.ContainsFunc(spec.Overlays, func(overlay string) bool { return below(folder, overlay) })
		info, err := os.Stat(folder)
		if !private || err != nil {
			continue
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		spec.Directories = append(spec.Directories, host.Directory{
			Path: folder, Mode: info.Mode().Perm() | 0o055, UID: int(owner.Uid), GID: int(owner.Gid),
		})
	}
}

// accountFiles are the machine's passwd and group with the laptop's people in place of whoever has their numbers.
func accountFiles() (passwd, group string, err error) {
	machinePasswd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", "", fmt.Errorf("read users: %w", err)
	}
	machineGroup, err := os.ReadFile("/etc/group")
	if err != nil {
		return "", "", fmt.Errorf("read groups: %w", err)
	}
	passwd = mergeAccounts(string(machinePasswd), []string{
		fmt.Sprintf("%s:x:%d:%d:Developer:/home/%s:/bin/bash", Developer, developerUID, developerUID, Developer),
		fmt.Sprintf("%s:x:%d:%d:Someone else:/home/%s:/bin/bash", OtherUser, otherUID, otherUID, OtherUser),
		"systemd-resolve:x:991:991:systemd Resolver:/:/usr/sbin/nologin",
		"messagebus:x:992:992:D-Bus:/nonexistent:/usr/sbin/nologin",
	})
	group = mergeAccounts(string(machineGroup), []string{
		fmt.Sprintf("%s:x:%d:", Developer, developerUID),
		fmt.Sprintf("%s:x:%d:", OtherUser, otherUID),
		fmt.Sprintf("fairlead:x:%d:%s", fairleadGID, Developer),
		"systemd-resolve:x:991:", "messagebus:x:992:",
	})
	return passwd, group, nil
}

// mergeAccounts adds lines of passwd or group, and drops existing ones with the same name or number.
func mergeAccounts(existing string, added []string) string {
	var result strings.Builder
	for line := range strings.Lines(existing) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		clash := slices.ContainsFunc(added, func(other string) bool {
			otherFields := strings.Split(other, ":")
			return len(fields) < 3 || fields[0] == otherFields[0] || fields[2] == otherFields[2]
		})
		if !clash {
			result.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	for _, line := range added {
		result.WriteString(line + "\n")
	}
	return result.String()
}

// prepareLaptops puts kubectl and the shop's program, for a service on the laptop, on the PATH and starts the resolvers.
func (c *Cluster) prepareLaptops(ctx context.Context) error {
	tools, err := c.makeFolder("tools")
	if err != nil {
		return err
	}
	for name, program := range map[string]string{"kubectl": c.binaries.Kubernetes, "shop": c.binaries.Shop} {
		// A process is shown under the name of its file, which a symbolic link does not give.
		if err := os.Link(program, filepath.Join(tools, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("put %s on the laptops: %w", name, err)
		}
	}
	if c.config.Resolver != ResolverResolved {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, laptop := range c.laptops {
		group.Go(func() error { return laptop.startResolved(ctx) })
	}
	return group.Wait()
}
