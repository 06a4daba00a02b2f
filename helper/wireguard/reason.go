// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"net"
)

// socketBufferNote is below which size of the receive buffer people are told, in bytes.
const socketBufferNote = 1 << 20

// reason returns why sending failed in words for people: the innermost error, without addresses.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
