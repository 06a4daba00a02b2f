// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/api"
)

func TestConflicts(t *testing.T) {
	local := func(prefix, device string) api.LocalRoute {
		return api.LocalRoute{Prefix: netip.MustParsePrefix(prefix), Interface: device}
	}
	for _, test := range []struct {
		name   string
		wanted string
		exempt string
		local  api.LocalRoute
		want   bool
	}{
		{"apart", "10.96.0.0/12", "", local("192.168.1.0/24", "wlan0"), false},
		{"same", "10.96.0.0/12", "", local("10.96.0.0/12", "tun0"), true},
		{"a VPN's broader route", "10.96.0.0/12", "", local("10.0.0.0/8", "tun0"), true},
		{"a bridge inside the range", "172.16.0.0/12", "", local("172.17.0.0/16", "docker0"), true},
		{"default route", "10.96.0.0/12", "", local("0.0.0.0/0", "wlan0"), false},
		{"half of everything", "10.96.0.0/12", "", local("0.0.0.0/1", "tun0"), false},
		{"IPv6 default", "fd00::/64", "", local("2000::/3", "wlan0"), false},
		{"other family", "10.0.0.0/8", "", local("fd00::/8", "wlan0"), false},
		{"host route to the API server", "10.96.0.0/12", "10.96.0.1", local("10.96.0.1/32", "eth0"), false},
		{"host route to somebody else", "10.96.0.0/12", "10.96.0.1", local("10.96.0.2/32", "eth0"), true},
		{"IPv6", "fd00:10:96::/112", "", local("fd00:10::/32", "wg0"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var exempt []netip.Addr
			if test.exempt != "" {
				exempt = addrs(test.exempt)
			}
			got := Conflicts(prefixes(test.wanted), exempt, []api.LocalRoute{test.local})
			if (len(got) > 0) != test.want {
				t.Errorf("got %+v, want a conflict: %v", got, test.want)
			}
			if len(got) > 0 && (got[0].Existing != test.local || got[0].Wanted.String() != test.wanted) {
				t.Errorf("got %+v", got[0])
			}
		})
	}
}

func TestIsForeign(t *testing.T) {
	for prefix, want := range map[string]bool{
		"10.0.0.0/8": true, "192.168.1.0/24": true, "fd00::/64": true, "2001:db8::/32": true,
		"0.0.0.0/0": false, "128.0.0.0/1": false, "127.0.0.0/8": false, "169.254.0.0/16": false, "224.0.0.0/4": false,
		"fe80::/64": false, "ff00::/8": false, "::1/128": false, "::/0": false,
	} {
		if got := isForeign(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("isForeign(%s) = %v, want %v", prefix, got, want)
		}
	}
}

func TestOwnerOf(t *testing.T) {
	for device, want := range map[string]string{
		"tailscale0": "Tailscale", "docker0": "Docker", "br-0123456789ab": "Docker", "tun0": "OpenVPN or another VPN",
		"wg0": "WireGuard", "wg-mullvad": "Mullvad VPN", "wlan0": "the local network", "enp3s0": "the local network",
		"utun4": "a VPN", "vEthernet (WSL)": "WSL", "dummy0": "", "": "",
	} {
		if got := ownerOf(device); got != want {
			t.Errorf("ownerOf(%q) = %q, want %q", device, got, want)
		}
	}
}

func TestSortLocal(t *testing.T) {
	a := api.LocalRoute{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Interface: "a"}
	b := api.LocalRoute{Prefix: netip.MustParsePrefix("10.0.0.0/16"), Interface: "a"}
	got := sortLocal([]api.LocalRoute{b, a, b, a})
	if len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("got %v", got)
	}
}
