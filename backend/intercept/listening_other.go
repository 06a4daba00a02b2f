// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package intercept

import "net/netip"

// systemListens can't tell on this system.
func systemListens(string, netip.AddrPort) (listens, known bool) { return false, false }
