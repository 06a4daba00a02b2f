// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package localapi

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func testSocket(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "fl") // t.TempDir may be longer than the 104 bytes that a socket's name can have
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "run", "daemon.sock")
}

func TestSocketIsForTheUserAlone(t *testing.T) {
	socket := testSocket(t)
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for path, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

func TestListenReplacesASocketThatIsLeftOver(t *testing.T) {
	socket := testSocket(t)
	first, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	first.(*userListener).Listener.Close() // as when the process dies
	second, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := os.Stat(socket); err != nil {
		t.Error("closing the first listener removed the second one's socket")
	}
	second.Close()
	if _, err := os.Stat(socket); err == nil {
		t.Error("closing the second listener left its socket")
	}
}

func TestOthersAreTurnedAway(t *testing.T) {
	socket := testSocket(t)
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := listener.(*userListener)
	calls := 0
	real := l.peer
	l.peer = func(conn *net.UnixConn) (uint32, error) {
		calls++
		switch calls {
		case 1:
			return l.uid + 1, nil
		case 2:
			return 0, errors.New("the kernel does not say")
		}
		return real(conn)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	for range 2 {
		conn, err := Dial(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a stranger reads %v, want the end", err)
		}
		conn.Close()
	}
	conn, err := Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	(<-accepted).Close()
}
