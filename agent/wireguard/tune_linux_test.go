// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net/netip"
	"testing"
)

func TestPathMTU(t *testing.T) {
	mtu, err := pathMTU(netip.MustParseAddr("127.0.0.1"))
	if err != nil || mtu < 16384 {
		t.Errorf("loopback: %d, %v", mtu, err)
	}
	if !fitsPath(netip.MustParseAddr("127.0.0.1"), 9000) || fitsPath(netip.MustParseAddr("127.0.0.1"), mtu) {
		t.Error("what fits loopback is wrong")
	}
	if size, err := UDPReceiveBuffer(); err != nil || size < 4096 {
		t.Errorf("receive buffer %d, %v", size, err)
	}
}
