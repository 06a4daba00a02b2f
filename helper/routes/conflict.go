// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// defaultBits is how short a prefix is that acts as a default route: VPNs that take everything say so as two halves or
// a few quarters of the address space, and IPv6 default routes are often 2000::/3.
const defaultBits = 3

// Conflicts returns each overlap between the wanted prefixes and the routes that the machine has, in the order of
// wanted. A broader route of the machine is a conflict too: part of somebody else's network would go into the tunnel.
// Default routes are not, and neither are host routes to exempt addresses.
func Conflicts(wanted []netip.Prefix, exempt []netip.Addr, local []api.LocalRoute) []api.Conflict {
	var conflicts []api.Conflict
	for _, want := range wanted {
		for _, have := range local {
			switch {
			case !want.Overlaps(have.Prefix) || isDefault(have.Prefix):
			case have.Prefix.IsSingleIP() && slices.Contains(exempt, have.Prefix.Addr()):
			default:
				conflicts = append(conflicts, api.Conflict{Wanted: want, Existing: have})
			}
		}
	}
	return conflicts
}

// isDefault reports whether a route to prefix acts as a default route.
func isDefault(prefix netip.Prefix) bool { return prefix.Bits() <= defaultBits }

// isForeign reports whether a route to prefix can conflict with the tunnel at all: default routes, loopback,
// link-local and multicast ranges can't.
func isForeign(prefix netip.Prefix) bool {
	addr := prefix.Addr()
	return prefix.IsValid() && !isDefault(prefix) && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !addr.IsMulticast() &&
		!addr.IsUnspecified()
}

// sortLocal puts routes in order of address and drops repetitions.
func sortLocal(local []api.LocalRoute) []api.LocalRoute {
	slices.SortStableFunc(local, func(a, b api.LocalRoute) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		if c := a.Prefix.Bits() - b.Prefix.Bits(); c != 0 {
			return c
		}
		return strings.Compare(a.Interface, b.Interface)
	})
	return slices.Compact(local)
}

// owners are the interface names that programs are known to give, the more telling first.
var owners = []struct{ prefix, owner string }{
	{"tailscale", "Tailscale"},
	{"docker", "Docker"},
	{"br-", "Docker"},
	{"podman", "Podman"},
	{"virbr", "libvirt"},
	{"vmnet", "VMware"},
	{"vboxnet", "VirtualBox"},
	{"bridge10", "a virtual machine"}, // macOS: bridge100 and up are made by virtualization
	{"lxcbr", "LXC"},
	{"lxdbr", "LXD"},
	{"incusbr", "Incus"},
	{"cni", "a local Kubernetes cluster"},
	{"flannel", "a local Kubernetes cluster (Flannel)"},
	{"cali", "a local Kubernetes cluster (Calico)"},
	{"vxlan.calico", "a local Kubernetes cluster (Calico)"},
	{"cilium", "a local Kubernetes cluster (Cilium)"},
	{"lxc", "a local Kubernetes cluster (Cilium)"},
	{"kube-", "a local Kubernetes cluster"},
	{"nodelocaldns", "a local Kubernetes cluster"},
	{"minikube", "minikube"},
	{"tel", "Telepresence"},
	{"nordlynx", "NordVPN"},
	{"proton", "Proton VPN"},
	{"mullvad", "Mullvad VPN"},
	{"wg-mullvad", "Mullvad VPN"},
	{"CloudflareWARP", "Cloudflare WARP"},
	{"gpd", "GlobalProtect"},
	{"cscotun", "Cisco Secure Client"},
	{"nebula", "Nebula"},
	{"zt", "ZeroTier"},
	{"wt", "NetBird"},
	{"wg", "WireGuard"},
	{"ipsec", "an IPsec VPN"},
	{"xfrm", "an IPsec VPN"},
	{"ppp", "a PPP link or VPN"},
	{"tun", "OpenVPN or another VPN"},
	{"tap", "OpenVPN or another VPN"},
	{"utun", "a VPN"},
	{"vpn", "a VPN"},
	{"vEthernet (WSL", "WSL"},
	{"vEthernet", "Hyper-V"},
	{"eth", "the local network"},
	{"en", "the local network"},
	{"wl", "the local network"},
	{"Wi-Fi", "the local network"},
	{"Ethernet", "the local network"},
}

// ownerOf names the program that is known to make interfaces of this name, or returns the empty string.
func ownerOf(device string) string {
	for _, o := range owners {
		if strings.HasPrefix(device, o.prefix) {
			return o.owner
		}
	}
	return ""
}
