// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// notifySocket names the variable with which systemd says where it wants to be told (sd_notify(3)).
const notifySocket = "NOTIFY_SOCKET"

// Ready tells systemd that the service listens, if it is systemd that has started it: who starts the service may use it then.
func Ready() error {
	path := os.Getenv(notifySocket)
	if path == "" {
		return nil
	}
	err := os.Unsetenv(notifySocket) // programs that this one starts are not the service
	conn, dialErr := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err = errors.Join(err, dialErr); dialErr == nil {
		_, writeErr := conn.Write([]byte("READY=1"))
		err = errors.Join(err, writeErr, conn.Close())
	}
	if err != nil {
		return fmt.Errorf("tell systemd that the service is ready: %w", err)
	}
	return nil
}
