// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package wireguard

import (
	"errors"
	"net"
	"net/netip"
)

func tuneRelay(net.Conn) {}

func fitsPath(netip.Addr, int) bool { return true }

// UDPReceiveBuffer returns how much the kernel keeps of what arrives while WireGuard is busy, where it tells.
func UDPReceiveBuffer() (int, error) { return 0, errors.ErrUnsupported }
