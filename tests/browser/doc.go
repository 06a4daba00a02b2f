// SPDX-License-Identifier: Apache-2.0

// Package browser uses the page in a real browser: a daemon with a backend of its own serves it, and the script
// frontend/tests/page.mjs does what people do.
//
// It needs the page ('make frontend'), node, and Chromium. It must not touch a cluster or the machine.
package browser
