// SPDX-License-Identifier: Apache-2.0

// Package desktop is the window: the page of the daemon in a frame of its own, instead of a tab in a browser.
//
// It owns the life of the window: that there is one, how it opens, and what it shows while there is no daemon to show.
// What the window itself serves is one page that goes on to the daemon's, because a scheme of the window's own has no
// cookies, and buffers streams on some systems. The package owns no session: closing the window, or its crash, changes
// nothing.
//
// All but the window itself is compiled without the build tag desktop too, so that it is tested where there is no
// window toolkit.
package desktop
