// SPDX-License-Identifier: Apache-2.0

// Package window uses the window and its tray icon on a laptop of a real cluster, with the built daemon and helper.
//
// It owns the laptop; what is clicked there is TestOnACluster of tests/desktop (build tag cluster), which has the session
// with a screen, a panel and D-Bus. It needs what 'build/install-deps.sh' installs.
package window
