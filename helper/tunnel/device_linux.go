// SPDX-License-Identifier: Apache-2.0

package tunnel

import "strconv"

// deviceHint is what helps when the interface can't be made.
const deviceHint = "the helper must run as root, and /dev/net/tun must exist: modprobe tun"

func deviceName(i int) string { return "fairlead" + strconv.Itoa(i) }
