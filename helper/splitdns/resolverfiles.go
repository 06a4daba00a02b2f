// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"fmt"
	"strings"
)

// resolverFolder is where macOS looks for one file per domain (resolver(5)).
const resolverFolder = "/etc/resolver"

// planResolverFiles are the files for the plan: one per domain, and one that adds the search domain.
func planResolverFiles(p plan, domains []string) []plannedFile {
	var servers strings.Builder
	for _, server := range p.servers {
		fmt.Fprintf(&servers, "nameserver %s\n", server)
	}
	if p.port != dnsPort {
		fmt.Fprintf(&servers, "port %d\n", p.port)
	}
	files := []plannedFile{{
		path:    resolverFolder + "/fairlead.search",
		content: fmt.Sprintf("%s\ndomain %s\nsearch %s\n%s", fileMark, p.search, p.search, servers.String()),
	}}
	for _, domain := range domains {
		files = append(files, plannedFile{path: resolverFolder + "/" + domain, content: fileMark + "\n" + servers.String()})
	}
	return files
}
