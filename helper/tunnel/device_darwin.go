// SPDX-License-Identifier: Apache-2.0

package tunnel

// deviceHint is what helps when the interface can't be made.
const deviceHint = "the helper must run as root"

// deviceName lets the system choose a number: every name but utunN is refused.
func deviceName(int) string { return "utun" }

// setQueueLength has nothing to do here.
func setQueueLength(string) error { return nil }
