// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
)

// socketOwner finds the socket from local to remote in a table of the form of /proc/net/tcp (proc(5)), and returns the
// user id of its owner. Sockets that no process holds any more have none: the table says 0, which would be root.
func socketOwner(table []byte, local, remote netip.AddrPort) (uid uint32, ok bool) {
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		if len(fields) < 10 || string(fields[9]) == "0" {
			continue
		}
		from, fromOK := socketAddress(string(fields[1]))
		to, toOK := socketAddress(string(fields[2]))
		if !fromOK || !toOK || from != local || to != remote {
			continue
		}
		id, err := strconv.ParseUint(string(fields[7]), 10, 32)
		return uint32(id), err == nil
	}
	return 0, false
}

// socketAddress reads an address as in 0100007F:1F90: 32-bit words in the byte order of the machine, then the port. IPv4
// inside IPv6 is IPv4.
func socketAddress(text string) (netip.AddrPort, bool) {
	address, portText, _ := bytes.Cut([]byte(text), []byte(":"))
	port, err := strconv.ParseUint(string(portText), 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	raw := make([]byte, hex.DecodedLen(len(address)))
	if _, err := hex.Decode(raw, address); err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := 0; word < len(raw); word += 4 {
		binary.BigEndian.PutUint32(raw[word:], binary.NativeEndian.Uint32(raw[word:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), ok
}
