// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// errStranger says that a connection is another user's.
var errStranger = errors.New("it is another user's")

// checkUser refuses a connection from this machine whose other end is not a socket of this user.
func checkUser(conn net.Conn) error {
	client, server, err := ends(conn)
	if err != nil {
		return err
	}
	// Programs with IPv6 sockets, as Firefox is one, are in the second table also when they speak IPv4.
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return fmt.Errorf("read whose sockets there are: %w", err)
		}
		if uid, ok := socketOwner(data, client, server); ok {
			if uid != uint32(os.Getuid()) {
				return errStranger
			}
			return nil
		}
	}
	return errors.New("its other end is not on this machine any more")
}

func ends(conn net.Conn) (client, server netip.AddrPort, err error) {
	if client, err = netip.ParseAddrPort(conn.RemoteAddr().String()); err != nil {
		return client, server, fmt.Errorf("read the address of a connection: %w", err)
	}
	if server, err = netip.ParseAddrPort(conn.LocalAddr().String()); err != nil {
		return client, server, fmt.Errorf("read the address of a connection: %w", err)
	}
	return client, server, nil
}
