// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API types of the group fairlead.dev, which make Kubernetes the one database of Fairlead:
// a Connection is a laptop that has joined the cluster, an Intercept is a share of a workload's traffic that goes to
// such a laptop.
//
// It owns the types, their validation markers and the names that every program agrees on. It must not import anything
// of Fairlead, and holds no logic.
//
// +kubebuilder:object:generate=true
// +groupName=fairlead.dev
package v1alpha1
