// SPDX-License-Identifier: Apache-2.0

// Package dualstack holds the connect tests to a cluster of two nodes with IPv4 and IPv6, and to a laptop whose names
// are resolved by systemd-resolved.
//
// What must answer is in reach, what the tests stand on in harness; this package owns the variant only.
package dualstack
