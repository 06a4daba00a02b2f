// SPDX-License-Identifier: Apache-2.0

// Package wireguard is how the gateway's WireGuard device reaches its peers: one Bind that receives datagrams from a
// UDP socket and from any number of relay streams at once, and answers each peer on the way on which it was last heard.
//
// It owns the sockets, the queues towards relay streams, the answers to probes, and what to do when a path turns out
// to be narrower than believed. It does not look into the tunnel and knows nothing of what is carried.
package wireguard
