// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrRelayed says that a port is relayed already.
var ErrRelayed = errors.New("the port is relayed already")

// Relay gives users of the machine, by number, a port of the laptop's loopback under the same number on the machine's: a
// page of the developer's, such as Fairlead's, opens in a browser of the machine. On the laptop the connections are the
// developer's. It calls ready when it listens, and returns when ctx ends or the laptop does.
func (l *Laptop) Relay(ctx context.Context, port int, users []int, ready func()) error {
	lock, err := os.OpenFile(filepath.Join(l.cluster.folder, fmt.Sprintf("relay-%s-%d.lock", l.Name, port)), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("relay port %d: %w", port, err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return ErrRelayed
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return fmt.Errorf("relay port %d: %w", port, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { listener.Close() })
	if err := l.onEnd(cancel); err != nil {
		return err
	}
	ready()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("relay port %d: %w", port, err)
		}
		go l.relay(ctx, conn, address, users)
	}
}

// onEnd calls do when the laptop's first process, and with it the laptop, has ended.
func (l *Laptop) onEnd(do func()) error {
	process, err := unix.PidfdOpen(l.PID, 0)
	if err != nil {
		return fmt.Errorf("watch %s: %w", l.Name, err)
	}
	go func() {
		defer unix.Close(process)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				do()
				return
			}
		}
	}()
	return nil
}

// relay carries one connection, if it is one of the users'.
func (l *Laptop) relay(ctx context.Context, outside net.Conn, address string, users []int) {
	defer outside.Close()
	socket, err := netlink.SocketGet(outside.RemoteAddr(), outside.LocalAddr())
	if err != nil || !slices.Contains(users, int(socket.UID)) {
		return
	}
	inside, err := l.DialAs(ctx, developerUID, "tcp4", address)
	if err != nil {
		return
	}
	defer inside.Close()
	defer context.AfterFunc(ctx, func() { inside.Close(); outside.Close() })()
	done := make(chan struct{})
	go func() {
		defer close(done)
		carry(inside, outside)
	}()
	carry(outside, inside)
	<-done
}

// carry copies until from has said all, and says so to to.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok {
		to.Close()
		from.Close()
		return
	}
	_ = half.CloseWrite()
}
