// SPDX-License-Identifier: Apache-2.0

// Package controller answers Connections: it gives each laptop its addresses inside the tunnel, tells it how to reach
// the gateway and which addresses and names the cluster has, and forgets laptops that have gone.
//
// Planning is pure: addresses.go, ranges.go, endpoints.go and status.go decide from values. facts.go reads those values
// from the API server, and connections.go applies what was decided. It is level-triggered: every decision is derived
// again from the API's objects, so that a gateway that starts anew takes up where the last one ended.
//
// It owns the status of Connections. It must not handle packets: it speaks to the data plane through Peers.
package controller
