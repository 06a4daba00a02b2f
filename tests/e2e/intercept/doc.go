// SPDX-License-Identifier: Apache-2.0

// Package intercept holds the end-to-end tests of intercepts: a cluster of two nodes, two laptops with a developer each, and
// the lab (tests/lab) in every shape that pods come in. The laptops run the same lab; every answer names who gave it.
//
// It owns what intercepts promise to people. It must not look into a program: everything goes through the built binaries,
// the API server and the network.
package intercept
