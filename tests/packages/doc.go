// SPDX-License-Identifier: Apache-2.0

// Package packages builds packages and looks into them: those of Linux for this machine's architecture, the installer for
// Windows and the bundle for macOS. Those of Linux it installs, upgrades, uses and removes on a laptop of a real cluster: under
// a real systemd, under SysV init, and by rpm.
//
// The laptop has the machine's files with changes of its own (tests/cluster), so the machine itself stays as it is. The
// package has tests alone.
package packages
