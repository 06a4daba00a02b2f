// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// quiet reports whether the kernel has neither sent nor received data on the connection for as long, and has none to send.
func quiet(conn *net.TCPConn, long time.Duration) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	var infoErr error
	if err := raw.Control(func(fd uintptr) {
		info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil || infoErr != nil {
		return false
	}
	ms := uint32(long.Milliseconds())
	return info.Last_data_recv >= ms && info.Last_data_sent >= ms && info.Unacked == 0 && info.Notsent_bytes == 0
}
