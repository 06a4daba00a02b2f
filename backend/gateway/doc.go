// SPDX-License-Identifier: Apache-2.0

// Package gateway installs, upgrades, removes and looks at the gateway of a cluster, with the chart that is embedded in
// the program, as a Helm release that Helm's own tools know too.
//
// It owns the release and the namespace if it made that. It must not know of sessions, and keeps nothing between calls.
package gateway
