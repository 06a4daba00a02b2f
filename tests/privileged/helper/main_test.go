// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// insideVariable is set for the process that runs in the namespaces.
const insideVariable = "FAIRLEAD_TEST_INSIDE"

// program is the helper, built for these tests.
var program string

// TestMain runs the tests in namespaces of their own.
func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make namespaces: run them as root")
		os.Exit(1)
	}
	if program = os.Getenv(insideVariable); program != "" {
		if err := setUp(); err != nil {
			fmt.Fprintln(os.Stderr, "set up the machine:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

func outside() int {
	folder, err := os.MkdirTemp("", "fairlead-helper-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(folder) }()
		program = filepath.Join(folder, "fairlead-helper")
		build := exec.Command("go", "build", "-o", program, "github.com/fairlead-dev/fairlead/helper")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the helper:", err)
		return 1
	}
	test := exec.Command("/proc/self/exe", os.Args[1:]...)
	test.Env = append(os.Environ(), insideVariable+"="+program)
	test.Stdin, test.Stdout, test.Stderr = os.Stdin, os.Stdout, os.Stderr
	test.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
	}
	err = test.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// machineResolver is what /etc/resolv.conf says before and after.
const machineResolver = "# by hand\nnameserver 192.0.2.53\nsearch corp.example\noptions edns0\n"

// setUp makes the machine: loopback, one link with a default route, and folders of its own.
func setUp() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, folder := range []string{"/run", "/var/lib", "/etc"} {
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", folder, err)
		}
	}
	files := map[string]string{
		"/etc/resolv.conf":   machineResolver,
		"/etc/passwd":        "root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/:/bin/sh\nother:x:1001:1001::/:/bin/sh\n",
		"/etc/group":         "root:x:0:\ndev:x:1000:\nother:x:1001:\n",
		"/etc/nsswitch.conf": "hosts: files dns\n",
	}
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	for _, line := range []string{
		"link set lo up", "link add eth0 type veth peer name far",
		// Without addresses of their own making, which appear when they like.
		"link set eth0 addrgenmode none", "link set far addrgenmode none", "link set eth0 up", "link set far up",
		"address add 192.168.7.2/24 dev eth0", "route add default via 192.168.7.1",
	} {
		if output, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, output)
		}
	}
	return nil
}
