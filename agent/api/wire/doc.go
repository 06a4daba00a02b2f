// SPDX-License-Identifier: Apache-2.0

// Package wire is the contract on the way of an intercepted flow: between a sidecar and the gateway (TLS), and between
// the gateway and the listener that the daemon holds on the laptop's tunnel address (inside the tunnel).
//
// A sidecar's TLS connection begins with a Hello. With PurposeControl it stays open for as long as the sidecar lives: the
// gateway sends Order messages, the sidecar Report messages, both of them at least every HeartbeatInterval. With
// PurposeFlow it waits, idle and authenticated, until the sidecar sends an Open; the gateway hands the same Open to the
// laptop, and the laptop's Answer back. After an accepting Answer come the bytes of the flow, in both directions, with half
// close; for UDP each datagram comes behind two bytes of length (big endian). After a refusing one the connection is closed,
// and the sidecar gives the flow to the app: an Answer always comes before the first byte of a caller is spent.
//
// Messages are JSON behind four bytes of length (big endian). The package owns their types, bounds and checks. It must not
// do any I/O of its own beyond reading and writing a message, and imports nothing of Fairlead.
package wire
