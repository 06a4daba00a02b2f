// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// roleVariable says which part a process plays; without it, it starts the others.
const roleVariable = "FAIRLEAD_TEST_ROLE"

var (
	podIPv4    = netip.MustParseAddr("10.244.0.2")
	podIPv6    = netip.MustParseAddr("fd00:10:244::2")
	callerIPv4 = netip.MustParseAddr("10.244.0.1")

	// outer is the namespace of the callers.
	outer netns.NsHandle
)

// patience bounds what takes no time when all is well.
const patience = 10 * time.Second

// The main thread is what /proc/self shows. It stays in the pod: others are not given it to leave.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "pod":
		if err := setUp(); err != nil {
			fmt.Fprintln(os.Stderr, "set up the pod:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	case "sidecar":
		runSidecar()
	default:
		os.Exit(outside())
	}
}

func outside() int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root")
		return 1
	}
	test := exec.Command("/proc/self/exe", os.Args[1:]...)
	test.Env = append(os.Environ(), roleVariable+"=pod")
	test.Stdin, test.Stdout, test.Stderr = os.Stdin, os.Stdout, os.Stderr
	test.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := test.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// setUp makes the network: the pod has eth0, the callers' namespace the other end.
func setUp() error {
	pod, err := netns.Get()
	if err != nil {
		return err
	}
	if outer, err = netns.New(); err != nil {
		return err
	}
	err = ip("link set lo up", fmt.Sprintf("link add veth0 type veth peer name eth0 netns /proc/%d/fd/%d", os.Getpid(), int(pod)),
		"link set veth0 up", "address add 10.244.0.1/24 dev veth0", "address add fd00:10:244::1/64 dev veth0 nodad")
	if err := errors.Join(err, netns.Set(pod)); err != nil {
		return err
	}
	return ip("link set lo up", "link set eth0 up", "address add 10.244.0.2/24 dev eth0", "address add fd00:10:244::2/64 dev eth0 nodad")
}

func ip(lines ...string) error {
	for _, line := range lines {
		if output, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, output)
		}
	}
	return nil
}

// outside the pod, f opens sockets.
func inOuter(t testing.TB, f func() (net.Conn, error)) net.Conn {
	t.Helper()
	type opened struct {
		conn net.Conn
		err  error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // the thread is not used again
		if err := netns.Set(outer); err != nil {
			done <- opened{nil, err}
			return
		}
		conn, err := f()
		done <- opened{conn, err}
	}()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { _ = got.conn.Close() })
	if err := got.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return got.conn
}

// call from outside the pod.
func call(t testing.TB, network string, addr netip.Addr, port uint16) net.Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: patience}
	return inOuter(t, func() (net.Conn, error) { return dialer.Dial(network, netip.AddrPortFrom(addr, port).String()) })
}

// callInside the pod.
func callInside(t testing.TB, network string, addr netip.Addr, port uint16) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, netip.AddrPortFrom(addr, port).String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}
