// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package sockets

import (
	"errors"
	"net"
)

// ErrNoSplice says that the kernel can't move bytes between the two, and that none were.
var ErrNoSplice = errors.New("no splice between these")

// MoveBytes moves nothing here.
func MoveBytes(_, _ *net.TCPConn, _ int64) (int64, error) { return 0, ErrNoSplice }
