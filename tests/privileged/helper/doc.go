// SPDX-License-Identifier: Apache-2.0

// Package helper tests the helper's program as a whole on this machine, as root: what it changes, and that all of it
// comes back, however the session or the program ends. The program runs in a network and a mount namespace of its own,
// with an /etc, a /run and a /var/lib of its own, so nothing of the machine itself is touched.
package helper
