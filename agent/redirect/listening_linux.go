// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Listening says which ports are open, those of the sidecar itself left out. It asks by sock_diag, and where the kernel lacks
// that, reads the file system at /proc.
func Listening(proc fs.FS) (Table, error) {
	table, err := fromSockDiag()
	if err != nil {
		return fromProc(proc)
	}
	return table, nil
}

func fromSockDiag() (Table, error) {
	conn, err := netlink.Dial(unix.NETLINK_INET_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel who listens: %w", err)
	}
	defer func() { _ = conn.Close() }()
	table := Table{}
	for _, kind := range []struct {
		protocol Protocol
		number   uint8
		state    int
	}{{TCP, unix.IPPROTO_TCP, stateListen}, {UDP, unix.IPPROTO_UDP, stateClosed}} {
		err := sockDiag{conn}.list(kind.number, kind.state, nil, func(c Connection) {
			if c.ours {
				return
			}
			families := familiesOf(c.Local.Addr())
			if c.ipv6Only && c.Local.Addr() == netip.IPv6Unspecified() {
				families.IPv4 = false
			}
			table.Set(kind.protocol, c.Local.Port(), families)
		})
		if err != nil {
			return nil, err
		}
	}
	return table, nil
}
