// SPDX-License-Identifier: Apache-2.0

// Package tunnel is the laptop's end of the tunnel as the helper's server sees it: it puts together the interface, the
// WireGuard device (helper/wireguard) and the routes (helper/routes), in an order in which no packet goes where it
// should not, and takes them apart again.
//
// It owns the inbound filter: from the tunnel only replies to what this machine began get in, and connections to the
// ports that were named. The decisions are pure (filter.go, packet.go) and are made in process, around the interface,
// so that no firewall of the machine is touched.
//
// It must not know names, sessions or who is asking.
package tunnel
