// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package web

import "net"

// checkUser lets every connection through: here the kernel does not say whose a TCP connection is. The token and the
// cookie decide.
func checkUser(net.Conn) error { return nil }
