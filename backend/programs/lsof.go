// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// parseLsof reads what "lsof -nP -F pcnPt" says of sockets that listen: lines of one field each, named by its first
// character (lsof(8), OUTPUT FOR OTHER PROGRAMS). What can't be read is left out.
func parseLsof(text string) ([]socket, map[int]process) {
	var sockets []socket
	processes := map[int]process{}
	pid, protocol, family := 0, "", ""
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			continue
		}
		value := line[1:]
		switch line[0] {
		case 'p':
			pid, _ = strconv.Atoi(value)
			protocol, family = "", ""
		case 'c':
			processes[pid] = process{name: unescape(value)}
		case 'f':
			protocol, family = "", ""
		case 't':
			family = value
		case 'P':
			protocol = value
		case 'n':
			at, ok := lsofAddress(value, family)
			if ok && pid > 0 && (protocol == "TCP" || protocol == "UDP") {
				sockets = append(sockets, socket{protocol: protocol, at: at, pid: pid})
			}
		}
	}
	return sockets, processes
}

// lsofAddress reads HOST:PORT, where the host may be * for all addresses of the family, IPv4 or IPv6.
func lsofAddress(text, family string) (netip.AddrPort, bool) {
	if strings.Contains(text, "->") { // a socket with a peer
		return netip.AddrPort{}, false
	}
	host, port, err := net.SplitHostPort(text)
	n, numberErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numberErr != nil || n == 0 {
		return netip.AddrPort{}, false
	}
	addr := netip.IPv4Unspecified()
	switch {
	case host == "*" && family == "IPv6":
		addr = netip.IPv6Unspecified()
	case host != "*":
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, false
		}
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(n)), true
}

// unescape reads \xHH, which lsof writes for characters that it does not print.
func unescape(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `\x`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= 2 {
			if n, err := strconv.ParseUint(after[:2], 16, 8); err == nil {
				b.WriteByte(byte(n))
				text = after[2:]
				continue
			}
		}
		b.WriteString(`\x`)
		text = after
	}
}
