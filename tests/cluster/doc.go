// SPDX-License-Identifier: Apache-2.0

// Package cluster brings up a real Kubernetes cluster, with laptops beside it, on one Linux machine: for tests and for
// the demo. Nodes and laptops are hosts of their own (package host), joined by one local network, behind which a
// pretended internet answers for public names. The laptops reach the API server and NodePorts, and nothing else of the
// cluster, as in life.
//
// All state is in the folder .cluster of the repository. The package changes nothing of the machine's own network,
// resolver or mounts, and Down leaves nothing behind, also after a crash. It must not know about the programs under
// test, apart from where they are built (bin).
package cluster
