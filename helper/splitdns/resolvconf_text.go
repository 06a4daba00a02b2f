// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"net/netip"
	"slices"
	"strings"
)

// fileMark begins every file that this package writes, so that people and this package know it.
const fileMark = "# Written by Fairlead while connected to a cluster."

// resolvConf is what a resolv.conf(5) says.
type resolvConf struct {
	servers []netip.AddrPort
	search  []string
	options []string
	others  []string // lines with other settings, such as sortlist
}

// parseResolvConf reads the content of a resolv.conf(5). What it does not understand it skips, as resolvers do.
func parseResolvConf(content []byte) resolvConf {
	var c resolvConf
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") || strings.HasPrefix(fields[0], ";") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if address, err := netip.ParseAddr(fields[1]); err == nil {
				c.servers = append(c.servers, netip.AddrPortFrom(address, dnsPort))
			}
		case "search", "domain": // the last one wins
			c.search = fields[1:]
		case "options":
			c.options = append(c.options, fields[1:]...)
		default:
			c.others = append(c.others, strings.Join(fields, " "))
		}
	}
	return c
}

// renderResolvConf is the resolv.conf(5) that sends all questions to the plan's first server, and keeps what else the
// machine's own said. One server and not two: a second would answer for the first only when that is slow, and wrongly.
func renderResolvConf(p plan, before resolvConf) []byte {
	var b strings.Builder
	b.WriteString(fileMark + "\n")
	b.WriteString("# Names of the cluster go through the tunnel, all others where they went before. The former file\n")
	b.WriteString("# comes back on disconnect, or with: fairlead-helper restore\n")
	b.WriteString("nameserver " + p.servers[0].String() + "\n")
	search := []string{p.search}
	for _, domain := range before.search {
		if !slices.Contains(search, domain) {
			search = append(search, domain)
		}
	}
	b.WriteString("search " + strings.Join(search, " ") + "\n")
	if len(before.options) > 0 {
		b.WriteString("options " + strings.Join(before.options, " ") + "\n")
	}
	for _, line := range before.others {
		b.WriteString(line + "\n")
	}
	return []byte(b.String())
}

// without returns the servers that are not in ours.
func without(servers []netip.AddrPort, ours []netip.Addr) []netip.AddrPort {
	return slices.DeleteFunc(slices.Clone(servers), func(s netip.AddrPort) bool { return slices.Contains(ours, s.Addr()) })
}
