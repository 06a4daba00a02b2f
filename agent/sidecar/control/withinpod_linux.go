// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

// withinPod prepares a socket for a connection that does not leave the pod. Where the node's congestion control is one that paces
// (bbr), that would set a timer for every segment although nothing can be congested; "reno" is in every kernel and allowed to
// everyone (tcp(7)). Where it can't be set, the node's is good enough.
func withinPod(_ context.Context, network, _ string, conn syscall.RawConn) error {
	if len(network) < 3 || network[:3] != "tcp" {
		return nil
	}
	return conn.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
}
