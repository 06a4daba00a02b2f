// SPDX-License-Identifier: Apache-2.0

// Package redirect makes new connections and datagrams for an app's port reach the sidecar that runs beside it in its pod,
// without touching the app, the Service or a packet: a BPF program of the kind sk_lookup, attached to the pod's network
// namespace, hands them to the sidecar's own sockets. The attachment is held by this process alone: whatever ends the process
// ends the redirect, and the next connection reaches the app.
//
// It also says who listens on a port (Listening), and moves callers over that were connected to the app before (Takeover).
// Replies to redirected datagrams leave from the app's port, which a second program sees to where packets leave the pod.
//
// The programs are planned as data (program.go) and contain no decision but these: does the call come from another address than
// the one called, is the port in the map, and has this process lately given a sign of life: one that stands still is passed by
// after 1.5 s. Calls of the pod to itself pass, which is how the sidecar reaches the app.
// The package needs CAP_BPF and CAP_NET_ADMIN and Linux 5.9, for datagrams 6.6; elsewhere every function fails closed with an
// error that says what is missing. It knows nothing of intercepts, gateways or HTTP.
package redirect
