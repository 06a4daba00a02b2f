// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package localapi

import (
	"io/fs"
	"net"
	"os"
	"syscall"
)

// peerUID asks the kernel who is at the other end.
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var user uint32
	var failed error
	if err := raw.Control(func(fd uintptr) { user, failed = peerOf(int(fd)) }); err != nil {
		return 0, err
	}
	return user, failed
}

func ownedByUser(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uint32(os.Getuid())
}
