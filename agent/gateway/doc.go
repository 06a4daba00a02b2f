// SPDX-License-Identifier: Apache-2.0

// Package gateway is the process in the cluster that laptops connect to: it joins the data plane (agent/tunnel),
// cluster DNS (agent/clusterdns), the controllers (agent/controller) and what intercepts need (agent/flows, agent/webhook),
// and sees that one of several replicas serves.
//
// It owns wiring, leadership, the gateway's key and what follows from it, metrics, health and shutdown. It must not decide what the parts do.
package gateway
