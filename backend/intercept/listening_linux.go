// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// systemListens reports whether a socket of this machine waits at an address, and whether the system tells at all. It
// reads the kernel's tables, and connects to nothing.
func systemListens(protocol string, at netip.AddrPort) (listens, known bool) {
	const (
		tcpListen = "0A" // TCP_LISTEN, include/net/tcp_states.h
		udpOpen   = "07" // TCP_CLOSE: a UDP socket without a peer
	)
	files, state := []string{"/proc/net/tcp", "/proc/net/tcp6"}, tcpListen
	if protocol == "UDP" {
		files, state = []string{"/proc/net/udp", "/proc/net/udp6"}, udpOpen
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		known = true
		found := tableHas(file, state, at)
		file.Close()
		if found {
			return true, true
		}
	}
	return false, known
}

// tableHas looks for a socket in that state that takes what is sent to at (proc_net_tcp.rst of the kernel).
func tableHas(table io.Reader, state string, at netip.AddrPort) bool {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != state {
			continue
		}
		local, ok := parseSocket(fields[1])
		if !ok || local.Port() != at.Port() {
			continue
		}
		// "::" may be for IPv6 only, which the table does not say; whoever is told so finds out by connecting.
		if addr := local.Addr(); addr == at.Addr().Unmap() || addr.IsUnspecified() && (addr.Is6() || at.Addr().Unmap().Is4()) {
			return true
		}
	}
	return false
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

// littleEndian says how this machine orders the bytes of a word.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
