// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package proxy

import (
	"errors"
	"net"
)

// loop is Linux's alone: elsewhere goroutines serve all connections.
type loop struct{}

func leastLoop() *loop { return nil }

func (*loop) add(f *steady) { close(f.left) }
func (*loop) ask(*steady)   {}

func detach(_, _ *net.TCPConn) ([2]int, error) { return [2]int{}, errors.ErrUnsupported }
func attach(int) (*net.TCPConn, error)         { return nil, errors.ErrUnsupported }
