// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package localapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultSocket returns where the daemon of this user listens: FAIRLEAD_DAEMON_SOCKET, else a folder that only the user
// can enter.
func DefaultSocket() (string, error) {
	if path := os.Getenv("FAIRLEAD_DAEMON_SOCKET"); path != "" {
		return filepath.Abs(path)
	}
	if runtime.GOOS == "linux" {
		if folder := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(folder) {
			if info, err := os.Stat(folder); err == nil && info.IsDir() && ownedByUser(info) {
				return filepath.Join(folder, "fairlead", "daemon.sock"), nil
			}
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the daemon's socket: %w", err)
	}
	return filepath.Join(cache, "fairlead", "run", "daemon.sock"), nil
}

// Dial connects to the daemon on socket.
func Dial(ctx context.Context, socket string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}

// Listen serves socket for the user of this process alone: the folder is closed to others, and the kernel says who
// calls. The caller must hold whatever keeps a second daemon away: a socket that is there is taken as left over and
// replaced.
func Listen(socket string) (net.Listener, error) {
	folder := filepath.Dir(socket)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for the daemon's socket: %w", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, fmt.Errorf("look at the folder of the daemon's socket: %w", err)
	}
	if !ownedByUser(info) {
		return nil, fmt.Errorf("listen on %s: the folder belongs to another user", socket)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket that is left over: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("close the daemon's socket to others: %w", err)
	}
	if unix, ok := listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it goes by name, and the name may be another's by then
	}
	mine, err := os.Stat(socket)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("look at the daemon's socket: %w", err)
	}
	return &userListener{Listener: listener, socket: socket, mine: mine, uid: uint32(os.Getuid()), peer: peerUID}, nil
}

// userListener accepts connections of one user and closes all others.
type userListener struct {
	net.Listener
	socket string
	mine   fs.FileInfo // of the socket, as it was made
	uid    uint32
	peer   func(*net.UnixConn) (uint32, error)
}

// Close stops listening, and removes the socket unless another process has put its own there.
func (l *userListener) Close() error {
	if l.reachable() {
		_ = os.Remove(l.socket) // before closing: who finds no socket starts a daemon, who finds a dead one has to think
	}
	return l.Listener.Close()
}

// reachable reports whether the name still leads to the socket of l. The time tells two sockets apart that had one
// inode number after the other.
func (l *userListener) reachable() bool {
	now, err := os.Stat(l.socket)
	return err == nil && os.SameFile(l.mine, now) && l.mine.ModTime().Equal(now.ModTime())
}

// Reachable reports whether callers still find a listener of Listen under its name. They don't once somebody removed
// the socket, as systemd does with the runtime folder when the user logs out.
func Reachable(listener net.Listener) bool {
	l, ok := listener.(*userListener)
	return !ok || l.reachable()
}

func (l *userListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if unix, ok := conn.(*net.UnixConn); ok {
			if uid, err := l.peer(unix); err == nil && uid == l.uid {
				return conn, nil
			}
		}
		conn.Close()
	}
}
