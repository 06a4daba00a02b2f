// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

const (
	// minMTU is the MTU inside the tunnel over UDP until more is proven to pass, in bytes: the least that IPv6 works
	// with (RFC 8200, section 5).
	minMTU = 1280

	// relayMTU is the MTU inside the tunnel over the relay, in bytes. A byte stream has no datagram size of its own;
	// fewer, larger packets cost less: with 32 KiB helper and gateway spend a tenth to a fifth less CPU time than with 16 KiB.
	// The limit is what wireguard-go carries on Windows.
	relayMTU = min(32<<10, device.MaxContentSize)

	// nearRelayMTU is that over a relay that is near: one packet for all that the gateway, and a kernel, send as one segment,
	// and half as many acknowledgements; downloads are an eighth faster. Over a slow line such packets hold up what is small:
	// at 20 Mbit/s a request beside a download took twice as long. It is the largest that the gateway sends.
	nearRelayMTU = min(65456, device.MaxContentSize)

	// nearRTT is how soon a relay answers that is near: on this machine or in its local network. farRTT is when it counts no
	// longer as that, because of what waits in front of the probes.
	nearRTT = 3 * time.Millisecond
	farRTT  = 50 * time.Millisecond

	// wireguardOverhead is what WireGuard adds to a packet, in bytes: header 16, authentication tag 16.
	wireguardOverhead = device.MessageTransportSize

	udpHeader = 8
)

// udpMTUs are the MTUs inside the tunnel to choose from over UDP, the largest first. Sizes between are left out for
// a reason: with 1408, 1412 and 1420 the kernel can't segment a full batch in one go, and downloads fall to a third.
// 1424 fits Ethernet's 1500 over IPv4, 1400 fits it over IPv6, 1380 fits 1450 (VXLAN), 1320 fits 1400 (mobile, cloud).
var udpMTUs = []int{1424, 1400, 1380, 1320, minMTU}

// udpOverhead returns by how much an IP packet on the way to endpoint is larger than what it carries inside the
// tunnel, in bytes.
func udpOverhead(endpoint netip.Addr) int {
	return ipHeader(endpoint) + udpHeader + wireguardOverhead
}

// ipHeader returns the size of an IP header without options on the way to endpoint, in bytes.
func ipHeader(endpoint netip.Addr) int {
	if endpoint.Unmap().Is4() {
		return 20
	}
	return 40
}

// udpMTU returns the MTU inside the tunnel for a path to endpoint on which IP packets of pathMTU bytes are proven to
// pass; 0 means that nothing is proven.
func udpMTU(pathMTU int, endpoint netip.Addr) int {
	for _, mtu := range udpMTUs {
		if mtu+udpOverhead(endpoint) <= pathMTU {
			return mtu
		}
	}
	return minMTU
}

// pathSizes returns the sizes of IP packets worth proving on the way to endpoint, the largest first: exactly those
// that allow another MTU.
func pathSizes(endpoint netip.Addr) []int {
	sizes := make([]int, len(udpMTUs))
	for i, mtu := range udpMTUs {
		sizes[i] = mtu + udpOverhead(endpoint)
	}
	return sizes
}
