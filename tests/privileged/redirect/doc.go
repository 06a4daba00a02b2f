// SPDX-License-Identifier: Apache-2.0

// Package redirect tests agent/redirect against the kernel: connections and datagrams that come into a pod over a veth pair, with
// IPv4 and IPv6, what happens to connections that were open before, and what is left when the process is killed.
//
// The test binary runs itself in a new network namespace, the pod, joined with another one, where the callers are. It must be
// root; the machine's own network is never touched.
package redirect
