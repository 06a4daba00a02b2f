// SPDX-License-Identifier: Apache-2.0

// Package injector adds sidecars to pods: as an ephemeral container to a pod that runs, or as a native sidecar (an init
// container that goes on running, KEP-753) to a pod that is being made.
//
// It is pure: from a pod and Settings to a container or a pod, and it refuses pods that can't have one with a reason for
// people. It owns what the containers look like, and how they are found again in a pod. It must not talk to Kubernetes,
// and does not decide which pods get a sidecar.
package injector
