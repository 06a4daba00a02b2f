// SPDX-License-Identifier: Apache-2.0

// Package netstack is the TCP/IP stack that stands in the cluster for one laptop: it takes the laptop's IP packets
// out of the tunnel, ends their TCP, UDP and ICMP echo flows, and continues each flow over an ordinary socket of the
// gateway's pod, so that no privilege is needed there.
//
// Every peer has a Stack of its own: what one laptop does, in memory, in flows or in a stalled connection, stays with
// that laptop. TCP and IP reassembly are gVisor's; merging of received segments (merge.go), cutting of sent ones to
// the peer's present MTU (cut.go), UDP and ICMP echo (udp.go, echo.go) are our own, because they are where the speed
// and the correctness of the path are decided.
//
// The package knows nothing of WireGuard or of Kubernetes: packets come in through Deliver and go out through Collect.
package netstack
