// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// States of sockets in Linux' tables (include/net/tcp_states.h).
const (
	tcpListen = "0A" // TCP_LISTEN
	udpOpen   = "07" // TCP_CLOSE: a UDP socket without a peer
)

// entry is a line of Linux' tables of sockets.
type entry struct {
	local netip.AddrPort
	inode uint64 // 0 where the line does not say
}

// entries reads the sockets in a state from a table such as /proc/net/tcp (proc_net_tcp.rst of the kernel). Lines that
// can't be read are left out.
func entries(table io.Reader, state string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		lines := bufio.NewScanner(table)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != state {
				continue
			}
			local, ok := parseSocket(fields[1])
			if !ok {
				continue
			}
			e := entry{local: local}
			if len(fields) > 9 {
				e.inode, _ = strconv.ParseUint(fields[9], 10, 64)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// parseSocket reads an address as the kernel's tables have it: 32-bit words in the machine's order, then the port.
func parseSocket(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, hexErr := hex.DecodeString(address)
	if !ok || err != nil || hexErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	if littleEndian {
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// takes reports whether a socket at local takes what is sent to at. "::" may be for IPv6 only, which the table does not
// say; whoever is told so finds out by connecting.
func takes(local, at netip.AddrPort) bool {
	to := at.Addr().Unmap()
	return local.Port() == at.Port() && (local.Addr() == to || local.Addr().IsUnspecified() && (local.Addr().Is6() || to.Is4()))
}

// littleEndian says how this machine orders the bytes of a word.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
