// SPDX-License-Identifier: Apache-2.0

// Package localsocket is the door between the helper and the programs of this machine: a unix socket, or a named pipe
// on Windows, on which the kernel says who calls.
//
// Anybody may connect; the identity decides what then happens, and helper/authorization judges it. The package must
// not decide itself, and must not take an identity from anything that the caller sends: what the kernel does not say
// is an error, and an error means no connection.
package localsocket

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
)

// PathVariable names the environment variable that replaces DefaultPath in callers. The helper itself does not look
// at it.
const PathVariable = "FAIRLEAD_HELPER_SOCKET"

// Identity is who calls, as the kernel knows it.
type Identity struct {
	// User is the numeric user id, or the security identifier (SID) on Windows.
	User string
	// Name is the user's name for people, or User where there is none.
	Name string
	// Groups are numeric group ids, or SIDs, the primary one first.
	Groups []string
	// Administrator is true for root and LocalSystem, and for nobody else.
	Administrator bool
	// Process is the caller's process id, for logs only: it may be another's by now. 0 if unknown.
	Process int
}

// InGroup reports whether the caller is a member of a group, by id.
func (i Identity) InGroup(group string) bool { return slices.Contains(i.Groups, group) }

// Conn is a connection with a known caller.
type Conn struct {
	net.Conn
	Identity Identity
}

// Listener accepts connections.
type Listener struct {
	listener net.Listener
	cleanup  func() error
}

// Listen opens the door at path. It replaces what a listener that is gone has left there.
func Listen(path string) (*Listener, error) { return listen(path) }

// ErrIdentity says that the kernel did not tell who called. The connection was closed.
var ErrIdentity = errors.New("unknown caller")

// Accept waits for a caller. An error that wraps ErrIdentity concerns one caller; the listener goes on. After Close it
// returns net.ErrClosed.
func (l *Listener) Accept() (*Conn, error) {
	conn, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	identity, err := identify(conn)
	if err != nil {
		return nil, errors.Join(ErrIdentity, err, conn.Close())
	}
	return &Conn{Conn: conn, Identity: identity}, nil
}

// Close stops listening and removes the socket. Connections stay.
func (l *Listener) Close() error { return errors.Join(l.listener.Close(), l.cleanup()) }

// Dial connects to the helper at path; an empty path means PathVariable, else DefaultPath.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	if path == "" {
		path = os.Getenv(PathVariable)
	}
	if path == "" {
		path = DefaultPath
	}
	return dial(ctx, path)
}
