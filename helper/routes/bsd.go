// SPDX-License-Identifier: Apache-2.0

package routes

import "strings"

// bsdCommand says a step to the tools of macOS, ifconfig(8) and route(8). It is empty for steps that need nothing there.
// It is kept apart from what runs it, so that it is tested everywhere.
func bsdCommand(step Step) []string {
	family := "-inet"
	if step.Family == IPv6 {
		family = "-inet6"
	}
	verb := "add"
	if step.Remove {
		verb = "delete"
	}
	switch step.Op {
	case OpAddress:
		return bsdAddress(step)
	case OpUp:
		if step.Remove {
			return []string{"/sbin/ifconfig", step.Device, "down"}
		}
		return []string{"/sbin/ifconfig", step.Device, "up"}
	case OpRoute:
		return []string{"/sbin/route", "-n", verb, family, step.Prefix.String(), "-interface", step.Device}
	case OpExempt:
		command := []string{"/sbin/route", "-n", verb, family, "-host", step.Prefix.Addr().String()}
		if step.Via.IsValid() {
			return append(command, step.Via.String()) // with its zone, if it is link-local
		}
		return append(command, "-interface", step.Through)
	}
	return nil
}

// bsdAddress gives a point-to-point interface an address, or takes it away. IPv4 wants a far end: the address itself.
func bsdAddress(step Step) []string {
	addr := step.Prefix.Addr().String()
	command := []string{"/sbin/ifconfig", step.Device, "inet6", addr, "prefixlen", "128"}
	if step.Family == IPv4 {
		command = []string{"/sbin/ifconfig", step.Device, "inet", addr, addr, "netmask", "255.255.255.255"}
	}
	if step.Remove {
		return append(command[:4:4], "-alias")
	}
	return append(command, "alias")
}

// bsdGone reports whether what a tool said means that there was nothing to remove.
func bsdGone(output string) bool {
	for _, text := range []string{"not in table", "does not exist", "Can't assign requested address", "not found"} {
		if strings.Contains(output, text) {
			return true
		}
	}
	return false
}

// bsdPresent reports whether what a tool said means that what was to be added is there already.
func bsdPresent(output string) bool { return strings.Contains(output, "File exists") }
