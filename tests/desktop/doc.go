// SPDX-License-Identifier: Apache-2.0

// Package desktop uses the window and the tray in a real session: an X server without a screen, a window manager, the
// panel of Xfce, D-Bus, and a daemon with a backend of its own.
//
// It clicks as a panel and a person do, and looks at what the desktop is told and at what is on the screen. It needs
// what 'build/install-deps.sh' installs, and the page ('make frontend'). It must not touch the session of
// whoever runs it, nor a cluster, unless it is built for that (tag cluster; see tests/e2e/window).
package desktop
