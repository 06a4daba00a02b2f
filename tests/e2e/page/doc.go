// SPDX-License-Identifier: Apache-2.0

// Package page uses the page in a real browser on a laptop of a real cluster: what people click is done by the built
// programs, and what they then see is true of the cluster.
//
// It owns the visits; the scripts that click are in frontend/tests. It needs node and Chromium on this machine.
package page
