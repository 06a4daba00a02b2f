// SPDX-License-Identifier: Apache-2.0

// Package proxy is the sidecar's data path: it takes over connections of callers that were redirected to the sidecar, and
// gives each one, or each HTTP request in it, to the app or to a laptop.
//
// What it promises:
//
//   - Bytes that are not matched reach the app exactly as they were sent, and its answers come back exactly as the app sent
//     them. Matched HTTP/1.x requests differ in one header, X-Forwarded-For; their answers in another, Connection, while the
//     pod ends.
//   - It never guesses. What is not HTTP, is TLS, or is HTTP with any ambiguity about where a message ends, is handed to the
//     app untouched for the rest of the connection.
//   - A laptop that does not take a request loses it to the app, if the request can still be given to it.
//   - It holds no more of a stream than a buffer of 64 KiB in each direction.
//
// Where things are:
//
//	the face, and what the orders say             proxy.go, rules.go
//	a caller, up to what it speaks                caller.go
//	its HTTP/1.x requests                         http1.go, http1laptop.go, transfer.go, drain.go
//	the app's and laptops' answers to them        upstream.go, answer.go
//	HTTP/2 with prior knowledge                   h2.go, and its streams h2stream.go, h2half.go, h2pass.go, h2reset.go
//	one HTTP/2 connection, and its end            h2peer.go, h2read.go, h2write.go, h2frame.go, h2end.go
//	everything else, and the copies               raw.go, mirror.go
//	letting go of connections                     release.go
//
// A connection that has become steady, with requests that go to the app one after the other, is served by an event loop instead
// of goroutines (steady.go, loop_linux.go, batch_linux.go). It is only quicker: whatever is not plain goes back to them. Long
// bodies are moved within the kernel (raw.go).
//
// Reading HTTP/1.x is the business of package http1.
//
// An upgrade of HTTP/1.1 to HTTP/2 (RFC 7540, section 3.2) reaches the app as it is; after it the connection can't be looked
// into any more. A matched request has the offer taken out, which the caller has to accept.
//
// The package opens no listener and no connection of its own: it is handed connections, and asks its Options for those to the
// app and to laptops. It must not import Kubernetes libraries.
package proxy
