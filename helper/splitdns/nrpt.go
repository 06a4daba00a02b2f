// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"fmt"
	"slices"
	"strings"
)

// The name resolution policy table of Windows ([MS-GPNRPT] 2.2.2). Rules live in one of two places: where a group
// policy has put any, the other is not looked at.
const (
	nrptLocal  = `SYSTEM\CurrentControlSet\Services\Dnscache\Parameters\DnsPolicyConfig`
	nrptPolicy = `SOFTWARE\Policies\Microsoft\Windows NT\DNSClient\DnsPolicyConfig`

	// nrptPrefix begins the names of our rules, a GUID each, by which they are known after a crash.
	nrptPrefix = "{FA121EAD-"

	// nrptDomains is how many domains a rule takes.
	nrptDomains = 50

	nrptGenericServers = 8 // ConfigOptions: the rule names servers
	nrptVersion        = 2
)

// registryValue is one value to be written below HKEY_LOCAL_MACHINE; it is one of a string, a list and a number.
type registryValue struct {
	key, name string
	text      string
	list      []string
	number    uint32
}

// planNRPT are the rules of the plan below root.
func planNRPT(root string, p plan) []registryValue {
	var names []string
	for _, domain := range append([]string{p.search}, p.domains...) {
		names = append(names, "."+domain) // the point stands for everything below
	}
	var servers []string
	for _, server := range p.servers {
		servers = append(servers, server.String())
	}
	var values []registryValue
	rule := 0
	for chunk := range slices.Chunk(names, nrptDomains) {
		key := fmt.Sprintf(`%s\%s0000-4000-8000-%012X}`, root, nrptPrefix, rule)
		values = append(values,
			registryValue{key: key, name: "Version", number: nrptVersion},
			registryValue{key: key, name: "Name", list: chunk},
			registryValue{key: key, name: "ConfigOptions", number: nrptGenericServers},
			registryValue{key: key, name: "GenericDNSServers", text: strings.Join(servers, ";")},
			registryValue{key: key, name: "Comment", text: "Fairlead"},
		)
		rule++
	}
	return values
}

// planInterfaceSearch makes the search domain the tunnel interface's own; guid names the interface.
func planInterfaceSearch(guid string, p plan) []registryValue {
	return []registryValue{{
		key:  `SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\` + guid,
		name: "SearchList",
		text: p.search,
	}}
}

// String renders the value as in a .reg file, for logs and tests.
func (v registryValue) String() string {
	switch {
	case v.list != nil:
		return fmt.Sprintf("[%s] %q=multi:%q", v.key, v.name, v.list)
	case v.text != "":
		return fmt.Sprintf("[%s] %q=%q", v.key, v.name, v.text)
	default:
		return fmt.Sprintf("[%s] %q=dword:%08x", v.key, v.name, v.number)
	}
}
