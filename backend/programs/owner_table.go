// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"encoding/binary"
	"net/netip"
)

// Layouts of Windows' tables of sockets with their owners (iprtrmib.h, udpmib.h): a count, then rows of little-endian words;
// ports are in network order in the first two bytes of their word.
type tableLayout struct {
	protocol                  string
	row, address, port, owner int // bytes of a row, and where in it things are
	size                      int // bytes of an address
}

var (
	tcp4Rows = tableLayout{protocol: "TCP", row: 24, address: 4, port: 8, owner: 20, size: 4}   // MIB_TCPROW_OWNER_PID
	tcp6Rows = tableLayout{protocol: "TCP", row: 56, address: 0, port: 20, owner: 52, size: 16} // MIB_TCP6ROW_OWNER_PID
	udp4Rows = tableLayout{protocol: "UDP", row: 12, address: 0, port: 4, owner: 8, size: 4}    // MIB_UDPROW_OWNER_PID
	udp6Rows = tableLayout{protocol: "UDP", row: 28, address: 0, port: 20, owner: 24, size: 16} // MIB_UDP6ROW_OWNER_PID
)

// parse reads a table; rows that are not whole are left out.
func (l tableLayout) parse(table []byte) []socket {
	if len(table) < 4 {
		return nil
	}
	rows := table[4:]
	var sockets []socket
	for range binary.LittleEndian.Uint32(table) {
		if len(rows) < l.row {
			break
		}
		addr, _ := netip.AddrFromSlice(rows[l.address : l.address+l.size])
		at := netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rows[l.port:]))
		sockets = append(sockets, socket{protocol: l.protocol, at: at, pid: int(binary.LittleEndian.Uint32(rows[l.owner:]))})
		rows = rows[l.row:]
	}
	return sockets
}
