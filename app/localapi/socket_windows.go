// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"

	"github.com/Microsoft/go-winio"
)

// pipeBuffer is the size of each direction's buffer of the named pipe, in bytes.
const pipeBuffer = 64 << 10

// DefaultSocket returns the named pipe on which the daemon of this user listens: FAIRLEAD_DAEMON_SOCKET, else one named
// after the user's SID.
func DefaultSocket() (string, error) {
	if path := os.Getenv("FAIRLEAD_DAEMON_SOCKET"); path != "" {
		return path, nil
	}
	sid, err := currentSID()
	if err != nil {
		return "", err
	}
	return `\\.\pipe\fairlead-` + sid, nil
}

// Dial connects to the daemon on socket.
func Dial(ctx context.Context, socket string) (net.Conn, error) {
	return winio.DialPipeContext(ctx, socket)
}

// Listen serves the named pipe for the user of this process alone: its security descriptor lets nobody else in. It
// fails while another process serves it.
func Listen(socket string) (net.Listener, error) {
	sid, err := currentSID()
	if err != nil {
		return nil, err
	}
	listener, err := winio.ListenPipe(socket, &winio.PipeConfig{
		// A protected DACL with one entry: all rights for the user (SDDL, [MS-DTYP] 2.5.1).
		SecurityDescriptor: "D:P(A;;GA;;;" + sid + ")",
		InputBufferSize:    pipeBuffer,
		OutputBufferSize:   pipeBuffer,
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	return listener, nil
}

// Reachable reports whether callers still find a listener of Listen under its name: a named pipe lasts as long as the
// process that serves it.
func Reachable(net.Listener) bool { return true }

func currentSID() (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("find the current user: %w", err)
	}
	return me.Uid, nil
}
