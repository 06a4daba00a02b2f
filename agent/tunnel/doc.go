// SPDX-License-Identifier: Apache-2.0

// Package tunnel is the gateway's data plane as the rest of the gateway sees it: one WireGuard device that serves all
// laptops over UDP and relay streams, and one TCP/IP stack for each of them.
//
// It joins agent/wireguard (the ways to the laptops) and agent/netstack (what comes out of the tunnel), decides which
// laptop's packets go next and how large they may be. It knows nothing of Kubernetes: who the peers are, it is told.
package tunnel
