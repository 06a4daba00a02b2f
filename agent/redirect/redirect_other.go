// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package redirect

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"time"
)

// errLinux is what everything here fails with.
var errLinux = errors.New("redirecting connections needs Linux")

// Redirect can't be made here.
type Redirect struct{}

// Open fails: only Linux can redirect.
func Open() (*Redirect, error) { return nil, errLinux }

// Listeners are none.
func (*Redirect) Listeners() []net.Listener { return nil }

// Set fails.
func (*Redirect) Set([]Port) error { return errLinux }

// Datagrams fails.
func (*Redirect) Datagrams(uint16) (*Datagrams, error) { return nil, errLinux }

// Close has nothing to do.
func (*Redirect) Close() error { return nil }

// Datagrams can't be had here.
type Datagrams struct{}

// Datagram is one that a client sent to the app.
type Datagram struct {
	Client, Target netip.AddrPort
	Payload        []byte
}

// Read fails.
func (*Datagrams) Read() (Datagram, error) { return Datagram{}, errLinux }

// Reply fails.
func (*Datagrams) Reply(Datagram, []byte) error { return errLinux }

// Close has nothing to do.
func (*Datagrams) Close() error { return nil }

// Listening reads who listens from the file system at /proc, where there is one.
func Listening(proc fs.FS) (Table, error) { return fromProc(proc) }

// Sweep fails.
func (*Takeover) Sweep(time.Time) (int, time.Duration, error) { return 0, sweepSlowly, errLinux }
