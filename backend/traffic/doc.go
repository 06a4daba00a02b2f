// SPDX-License-Identifier: Apache-2.0

// Package traffic tells which requests come to this laptop. An Observer looks at the bytes of one flow as they pass, in both
// directions, and makes Records of the requests in it: HTTP/1.1 with keep-alive, pipelining, chunks and upgrades, HTTP/2 and
// gRPC; anything else is one Record for the connection. A Log keeps the latest and tells those who watch.
//
// It is no part of the way: an Observer alters, delays and keeps no bytes but the head of a request or an answer that has
// not arrived whole, at most maxHead; what is longer, or not what its protocol says, makes the rest of the flow plain TCP to
// it. It must not do any I/O, and must not keep headers or bodies.
package traffic
