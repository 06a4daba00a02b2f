// SPDX-License-Identifier: Apache-2.0

// Package api is the contract between the privileged helper and its callers: eight verbs, their requests and replies,
// how they are framed on the local socket, and what is checked before anything is done.
//
// Every message is one frame: four bytes of length, big endian, then that many bytes of JSON (frame.go). A caller
// sends a Request and reads a Reply, one after the other on one connection. Watch turns the connection into a stream
// of Status; Carrier turns it into the raw byte stream of a relay.
//
// The session belongs to the connection on which Prepare was called: when that connection closes, for whatever
// reason, the helper takes the tunnel down and puts the machine back as it was.
//
// The package owns types, bounds and validation. It must not do I/O beyond the reader and writer that it is given,
// and knows nothing of Kubernetes.
package api
