// SPDX-License-Identifier: Apache-2.0

// Package tunnel tests the laptop's end of the tunnel (helper/tunnel) against the gateway's (agent/tunnel), for real: a
// TUN interface, routes and sockets of the kernel, in network namespaces that the tests make for themselves and that
// vanish with their processes.
//
// The test binary runs itself three times: as the laptop, in new network and mount namespaces, where the tests are; as
// the gateway, in another network namespace joined by a veth pair; and as the services behind it, in the gateway's
// namespace but a process of their own, so that figures of memory and speed are the tunnel's. It must be root; the
// machine's own network is never touched.
package tunnel
