// SPDX-License-Identifier: Apache-2.0

// Package carrier is how WireGuard's datagrams get to the gateway, from the user's side: which of the two ways is
// used (policy.go, pure), and the relay, a port-forward to the gateway's pod that is opened with the user's
// credentials and handed to the helper as a stream of bytes (dial.go, keeper.go).
//
// It owns the choice and the stream. It must not look at what the bytes mean, nor know what a session is.
package carrier
