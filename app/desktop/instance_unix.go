// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package desktop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// InstanceSocket returns where the window listens, given the daemon's socket: in the same folder, which only the user
// can enter.
func InstanceSocket(daemon string) string { return filepath.Join(filepath.Dir(daemon), "desktop.sock") }

// holdInstance locks a file beside the socket (flock(2)), which the kernel undoes with the process, then listens. The
// file stays: removing it would let two processes hold locks on two files of one name.
func holdInstance(socket string) (listener net.Listener, release func(), held bool, err error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, nil, false, fmt.Errorf("make folder for the socket: %w", err)
	}
	file, err := os.OpenFile(socket+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, false, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, true, nil
		}
		return nil, nil, false, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	listener, err = localapi.Listen(socket)
	if err != nil {
		file.Close()
		return nil, nil, false, err
	}
	return listener, func() { file.Close() }, false, nil
}
