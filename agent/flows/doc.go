// SPDX-License-Identifier: Apache-2.0

// Package flows is the gateway's side of the sidecars: the TLS server that they connect to. It checks who they are, tells
// them what to do (wire.Order), keeps what they say (wire.Report), and carries intercepted flows from them to the
// laptops' listeners inside the tunnel.
//
// The controller says by SetPod what each pod's sidecar is to do and where its flows may go; nothing else opens a way to
// a laptop. The package owns the authentication of sidecars, the bounds of what they may hold open, and the bytes on their
// way. It must not decide what is intercepted, and asks Kubernetes nothing but to review tokens, through Tokens.
package flows
