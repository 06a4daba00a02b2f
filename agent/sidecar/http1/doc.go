// SPDX-License-Identifier: Apache-2.0

// Package http1 reads HTTP/1.x messages as they pass (RFC 9112): the heads of requests and responses, and where their bodies
// end; and it tells from a connection's first bytes whether they are such messages at all.
//
// It never guesses: whatever servers are known to read in more than one way is Invalid. It is pure, keeps and changes no bytes,
// and uses no memory of its own for what it reads. It must not touch connections.
package http1
