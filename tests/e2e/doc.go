// SPDX-License-Identifier: Apache-2.0

// Package e2e proves what Fairlead promises: its tests run the built programs on laptop hosts against a real cluster
// and look at what a user would see, and at what is left behind.
//
// It owns no code of its own but tests; what they stand on is in harness. It must not import the programs' packages to
// do their work for them.
package e2e
