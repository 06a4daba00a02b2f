// SPDX-License-Identifier: Apache-2.0

// Package packages builds the packages of this machine's architecture, looks into them, and installs, upgrades, uses and
// removes them on a laptop of a real cluster: under a real systemd, under SysV init, and by rpm.
//
// The laptop has the machine's files with changes of its own (tests/cluster), so the machine itself stays as it is. The
// package has tests alone.
package packages
