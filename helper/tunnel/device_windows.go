// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"strconv"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/tun"
)

// deviceHint is what helps when the interface can't be made.
const deviceHint = "the helper must run as a service with administrator rights, and wintun.dll must be beside it"

func init() {
	tun.WintunTunnelType = "Fairlead"
	// The same identity each time, so that Windows does not take every session for a new network.
	tun.WintunStaticRequestedGUID = &windows.GUID{
		Data1: 0xfa1e1ead, Data2: 0x0000, Data3: 0x4000, Data4: [8]byte{0x80, 0, 0, 0, 0, 0, 0, 0},
	}
}

func deviceName(i int) string { return "Fairlead" + strconv.Itoa(i) }

// setQueueLength has nothing to do here.
func setQueueLength(string) error { return nil }
