// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"errors"
	"net"

	"golang.org/x/sys/windows"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// InstanceSocket returns the named pipe on which the window listens, given the daemon's.
func InstanceSocket(daemon string) string { return daemon + "-desktop" }

// holdInstance listens: Windows lets one process be the first to serve a named pipe, and refuses the others.
func holdInstance(socket string) (listener net.Listener, release func(), held bool, err error) {
	listener, err = localapi.Listen(socket)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_PIPE_BUSY) {
		return nil, nil, true, nil
	}
	return listener, func() {}, false, err
}
