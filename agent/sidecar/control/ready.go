// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"net"
	"time"
)

// The startup probe of a sidecar that is born with its pod is the command
//
//	fairlead-sidecar ready
//
// in the sidecar's container, with timeoutSeconds of 5 or more. It ends with status 0 as soon as the first order is carried out,
// and after ReadyLimit in any case: a sidecar never keeps a pod from starting.
const (
	// ReadyLimit is how long the start of the app waits for the gateway at the most.
	ReadyLimit = 2 * time.Second
	readyLook  = 20 * time.Millisecond
)

// readyAddress is an abstract socket, which needs no file; the pod's network namespace has it.
func readyAddress(container string) string { return "@fairlead-sidecar/" + container }

// ServeReady answers WaitReady of other processes when ready returns true, or ReadyLimit has passed, until the context ends.
func ServeReady(ctx context.Context, container string, ready func() bool) error {
	listener, err := net.Listen("unix", readyAddress(container))
	if err != nil {
		return fmt.Errorf("listen for the startup probe: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	limit := time.Now().Add(ReadyLimit)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for !ready() && time.Now().Before(limit) {
					time.Sleep(readyLook)
				}
			}()
		}
	}()
	return nil
}

// WaitReady waits until the sidecar in this container has carried out its first order, or has given up waiting, ReadyLimit at
// the most.
func WaitReady(container string) {
	limit := time.Now().Add(ReadyLimit)
	for time.Now().Before(limit) {
		conn, err := net.Dial("unix", readyAddress(container))
		if err != nil { // it has not begun yet
			time.Sleep(readyLook)
			continue
		}
		_ = conn.SetReadDeadline(limit)
		var end [1]byte
		_, _ = conn.Read(end[:])
		_ = conn.Close()
		return
	}
}
