// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"net"

	"golang.org/x/sys/windows"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// hold listens: Windows lets one process be the first to serve a named pipe, and refuses the others.
func hold(socket string) (net.Listener, func(), error) {
	listener, err := localapi.Listen(socket)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_PIPE_BUSY) {
		return nil, nil, errHeld
	}
	return listener, func() {}, err
}
