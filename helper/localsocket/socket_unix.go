// SPDX-License-Identifier: Apache-2.0

//go:build unix

package localsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

func listen(path string) (*Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on helper socket: %w", err)
	}
	// Every user may connect and is then judged by identity, so that who is refused is told why.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("open helper socket to all users: %w", err), listener.Close())
	}
	return &Listener{listener: listener, cleanup: func() error { return nil }}, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at helper socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		return errors.Join(fmt.Errorf("another helper listens on %s", path), conn.Close())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale helper socket: %w", err)
	}
	return nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

// control runs f with the connection's file descriptor.
func control(conn net.Conn, f func(fd int) error) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("not a socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// fromNumbers makes an Identity; groups begin with the primary one.
func fromNumbers(uid uint32, groups []uint32, pid int) Identity {
	id := Identity{User: strconv.FormatUint(uint64(uid), 10), Administrator: uid == 0, Process: pid}
	id.Name = id.User
	if u, err := user.LookupId(id.User); err == nil {
		id.Name = u.Username
	}
	for _, gid := range groups {
		id.Groups = append(id.Groups, strconv.FormatUint(uint64(gid), 10))
	}
	return id
}
