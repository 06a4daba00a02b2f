// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net"

	"golang.zx2c4.com/wireguard/ipc"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// controlSocket is the named pipe of a device, which is gone when the process is.
type controlSocket struct{ listener net.Listener }

// Kinds returns the journal entries of this package: none on Windows.
func Kinds() []restore.Kind { return nil }

// ControlFree reports whether an interface of this name may have a control pipe. The system refuses a second one.
func ControlFree(string) bool { return true }

func openControlSocket(name string, _ *restore.Journal) (*controlSocket, error) {
	listener, err := ipc.UAPIListen(name)
	if err != nil {
		return nil, err
	}
	return &controlSocket{listener: listener}, nil
}

func (s *controlSocket) close() error { return s.listener.Close() }
