// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"strings"
	"testing"
)

func TestArgumentsOfResolvconf(t *testing.T) {
	for tool, want := range map[resolvconfTool][2]string{
		debianResolvconf: {"-a tun-fairlead.inet", "-d tun-fairlead.inet"},
		openresolv:       {"-m 0 -x -a tun-fairlead.inet", "-f -d tun-fairlead.inet"},
	} {
		got := [2]string{strings.Join(resolvconfAdd(tool), " "), strings.Join(resolvconfRemove(tool), " ")}
		if got != want {
			t.Errorf("%s: got %q, want %q", tool, got, want)
		}
	}
}
