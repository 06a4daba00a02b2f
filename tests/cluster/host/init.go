// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Init is the life of a host's PID 1: it arranges the namespaces it was started in as the spec at specPath says,
// reports to ready ("ready", or what went wrong), and then runs components until it is killed.
func Init(specPath string, ready *os.File) error {
	supervisor, listener, err := prepare(specPath)
	if err != nil {
		fmt.Fprint(ready, err.Error())
		ready.Close()
		return err
	}
	fmt.Fprint(ready, readyMessage)
	ready.Close()
	return supervisor.serve(listener)
}

// readyMessage is what Init reports when the host can be used.
const readyMessage = "ready"

func prepare(specPath string) (*supervisor, net.Listener, error) {
	if os.Getpid() != 1 {
		return nil, nil, fmt.Errorf("start host: this must be PID 1 of its own namespaces, it is PID %d", os.Getpid())
	}
	spec, err := ReadSpec(specPath)
	if err != nil {
		return nil, nil, err
	}
	if err := spec.arrange(); err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("unix", ControlSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for control requests: %w", err)
	}
	return newSupervisor(), listener, nil
}

// arrange applies the spec to the namespaces of the calling process.
func (s Spec) arrange() error {
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	// Nothing mounted from here on may reach the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := s.mountFolders(); err != nil {
		return err
	}
	// Mounts that one program in the host makes must be seen by the containers of another, as on any machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts inside the host: %w", err)
	}
	if err := s.writeFiles(); err != nil {
		return err
	}
	for _, setting := range s.Sysctls {
		if err := os.WriteFile(filepath.Join("/proc/sys", setting.Key), []byte(setting.Value), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s=%s: %w", setting.Key, setting.Value, err)
		}
	}
	if err := createCgroups(s.Cgroups); err != nil {
		return err
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback link: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("set loopback link up: %w", err)
	}
	return nil
}

// mountFolders makes the overlays, tmpfs and binds. The machine's own tree stays reachable below Staging until they
// are done, because overlays hide what binds bring back.
func (s Spec) mountFolders() error {
	if err := unix.Mount("tmpfs", s.Staging, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount staging folder: %w", err)
	}
	original := filepath.Join(s.Staging, "original")
	if err := os.Mkdir(original, 0o755); err != nil {
		return fmt.Errorf("create staging folder: %w", err)
	}
	if err := unix.Mount("/", original, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep the machine's files at hand: %w", err)
	}
	for _, folder := range s.Overlays {
		if err := s.mountOverlay(folder, original); err != nil {
			return err
		}
	}
	for _, folder := range s.Tmpfs {
		if err := os.MkdirAll(folder.Path, 0o755); err != nil {
			return fmt.Errorf("create %s: %w", folder.Path, err)
		}
		if err := unix.Mount("tmpfs", folder.Path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("mount tmpfs on %s: %w", folder.Path, err)
		}
		if err := own(folder.Path, folder.Mode, folder.UID, folder.GID); err != nil {
			return err
		}
	}
	for _, bind := range s.Binds {
		if err := mountBind(filepath.Join(original, bind.Source), bind.Target); err != nil {
			return err
		}
	}
	if err := unix.Unmount(s.Staging, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount staging folder: %w", err)
	}
	return nil
}

func (s Spec) mountOverlay(folder, original string) error {
	layers := filepath.Join(s.Staging, "layers", folder)
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	lower := filepath.Join(original, folder)
	info, err := os.Stat(lower)
	if err != nil {
		return fmt.Errorf("look at folder for overlay: %w", err)
	}
	for _, path := range []string{upper, work} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("create overlay layer: %w", err)
		}
	}
	// The overlay's root takes its mode and owner from the upper layer.
	stat, ok := info.Sys().(*syscall.Stat_t)
	uid, gid := 0, 0
	if ok {
		uid, gid = int(stat.Uid), int(stat.Gid)
	}
	if err := own(upper, info.Mode().Perm(), uid, gid); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	if err := unix.Mount("overlay", folder, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay on %s: %w", folder, err)
	}
	return nil
}

func mountBind(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("look at bind source: %w", err)
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE, 0o644); err == nil {
			file.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("create bind target %s: %w", target, err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", target, err)
	}
	return nil
}

func (s Spec) writeFiles() error {
	for _, folder := range s.Directories {
		if err := os.MkdirAll(folder.Path, 0o755); err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		if err := own(folder.Path, folder.Mode, folder.UID, folder.GID); err != nil {
			return err
		}
	}
	for _, file := range s.Files {
		if err := replaceFile(file); err != nil {
			return err
		}
	}
	for _, link := range s.Symlinks {
		os.Remove(link.Path)
		if err := os.MkdirAll(filepath.Dir(link.Path), 0o755); err != nil {
			return fmt.Errorf("create folder of link: %w", err)
		}
		if err := os.Symlink(link.Target, link.Path); err != nil {
			return fmt.Errorf("create link: %w", err)
		}
	}
	for number, mask := range s.Masks {
		cover := fmt.Sprintf("/run/masks/%d", number)
		if err := replaceFile(File{Path: cover, Content: mask.Content, Mode: mask.Mode}); err != nil {
			return err
		}
		if err := unix.Mount(cover, mask.Path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mask %s: %w", mask.Path, err)
		}
	}
	return nil
}

func replaceFile(file File) error {
	// Removing first keeps a link, as /etc/resolv.conf often is, from being followed.
	os.Remove(file.Path)
	if err := os.MkdirAll(filepath.Dir(file.Path), 0o755); err != nil {
		return fmt.Errorf("create folder of file: %w", err)
	}
	if err := os.WriteFile(file.Path, []byte(file.Content), file.Mode); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return own(file.Path, file.Mode, file.UID, file.GID)
}

// own sets owner and mode, in this order, because a change of owner clears special bits.
func own(path string, mode os.FileMode, uid, gid int) error {
	if err := os.Chown(path, uid, gid); err != nil {
		return fmt.Errorf("set owner: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}
