// SPDX-License-Identifier: Apache-2.0

// Package tray is the icon beside the clock: it tells the state at a glance, and its menu connects, disconnects and
// leaves intercepts.
//
// Show is a pure function from what the daemon says to an icon, a tooltip and a menu; Draw draws the icons. The adapter
// to the desktop's tray (build tag desktop) puts that there and says what was clicked. The package must not call the
// daemon, and keeps no state but what it last showed.
package tray
