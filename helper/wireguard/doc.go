// SPDX-License-Identifier: Apache-2.0

// Package wireguard runs the laptop's end of the WireGuard tunnel in this process: a user-space device whose
// datagrams go over one of two carriers, UDP or a relay stream, and can change from one to the other at any moment.
//
// It owns the session's key, the sockets and the relay stream (bind.go, udp_*.go, relay.go), the probes that say whether
// a carrier lives and how large its datagrams may be (prober.go, pathmtu.go), and the MTU inside the tunnel (mtu.go).
// Which carrier to use is not decided here: callers say so, from the health that is reported. Datagrams are received
// from both carriers always.
//
// The package must not touch routes or names, and knows the tunnel's interface only as a tun.Device.
package wireguard
