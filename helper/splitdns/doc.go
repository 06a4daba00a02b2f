// SPDX-License-Identifier: Apache-2.0

// Package splitdns makes the machine resolve a cluster's names through the tunnel, and all other names as before.
//
// It owns three things: the server on the laptop's tunnel addresses that takes the questions (server.go), the pure
// decision which name goes where (zones.go), and the ways to tell the machine's own resolver (systemd-resolved,
// NetworkManager's dnsmasq, resolvconf, /etc/resolv.conf itself; /etc/resolver on macOS; the name resolution policy
// table on Windows). What is told to a resolver is planned as text or data first, and then applied. It must not
// resolve cluster names itself, and must never become the only way to names outside the cluster where the machine
// can split them.
package splitdns
