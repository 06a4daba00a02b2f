// SPDX-License-Identifier: Apache-2.0

//go:build unix

package localsocket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func TestKernelSaysWhoCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "h.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	t.Setenv(PathVariable, path)
	caller, err := Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	who := conn.Identity
	if who.User != strconv.Itoa(os.Geteuid()) || who.Administrator != (os.Geteuid() == 0) || who.Process != os.Getpid() || who.Name == "" {
		t.Errorf("got %+v", who)
	}
	if !who.InGroup(strconv.Itoa(os.Getegid())) {
		t.Errorf("groups %q lack the primary one", who.Groups)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		if !slices.Contains(who.Groups, strconv.Itoa(group)) {
			t.Errorf("groups %q lack %d", who.Groups, group)
		}
	}
	if err := errors.Join(caller.Close(), conn.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestStaleSocketIsReplacedAndOthersAreNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatalf("a socket that nobody listens on: %v", err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("a socket that somebody listens on was taken over")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("a file was replaced")
	}
}

func TestDialWithoutHelper(t *testing.T) {
	if _, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
