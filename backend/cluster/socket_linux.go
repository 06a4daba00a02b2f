// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

// controlSocket makes the kernel give a connection up when sent data stays unacknowledged for deadAfter, instead of
// after a quarter of an hour (tcp(7), TCP_USER_TIMEOUT). It does what it can: a refusal changes only how soon a dead
// connection is noticed.
func controlSocket(_ context.Context, _, _ string, conn syscall.RawConn) error {
	return conn.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
}
