// SPDX-License-Identifier: Apache-2.0

// Package host makes one machine of the test cluster: a process that is PID 1 of its own network, mount, PID, UTS
// and IPC namespaces. Everything that the machine runs is a descendant of it, and every mount, link and socket lives
// in its namespaces, so that killing this one process leaves nothing behind.
//
// The package has two sides. Start, Find and Client run on the machine that holds the cluster; Init and Exec run in
// the cluster-host program and make, or enter, the namespaces. It knows nothing about Kubernetes, and it must not
// change anything outside the namespaces it makes, apart from the control groups that a Spec names.
package host
