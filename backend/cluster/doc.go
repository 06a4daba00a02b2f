// SPDX-License-Identifier: Apache-2.0

// Package cluster is access to a Kubernetes cluster as kubectl has it: kubeconfig files with their contexts, exec
// credential plugins, proxies, client certificates and impersonation; and what a session asks of it: who the user is,
// which rights are missing, the user's Connection, the workloads.
//
// It owns how a user's environment becomes a client and how the cluster's refusals become problems that people
// understand. It must not know of the helper or of a session's state, and keeps nothing between calls but connections.
package cluster
