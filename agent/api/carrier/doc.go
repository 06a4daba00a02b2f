// SPDX-License-Identifier: Apache-2.0

// Package carrier is the wire format that both ends of the tunnel speak below WireGuard: how datagrams travel in a
// byte stream (frame.go), and how either carrier is probed for life, round-trip time and path MTU (probe.go).
//
// It is pure: it parses and builds bytes and does no I/O of its own beyond the reader it is given. With
// the package below it, it is all that the privileged helper and the in-cluster agent share, so that the format exists
// once. It must not import anything of the helper, the agent or the backend.
package carrier
