// SPDX-License-Identifier: Apache-2.0

package localsocket

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the helper listens.
const DefaultPath = "/var/run/fairlead/helper.sock"

// xucredVersion is XUCRED_VERSION of sys/ucred.h.
const xucredVersion = 0

// identify asks the kernel for the credentials that the caller had when it connected (unix(4), LOCAL_PEERCRED).
func identify(conn net.Conn) (Identity, error) {
	var cred *unix.Xucred
	var pid int
	err := control(conn, func(fd int) (err error) {
		if cred, err = unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err != nil {
			return fmt.Errorf("read peer credentials: %w", err)
		}
		pid, err = unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		return err
	})
	if err != nil {
		return Identity{}, err
	}
	if cred.Version != xucredVersion || cred.Ngroups < 0 || int(cred.Ngroups) > len(cred.Groups) {
		return Identity{}, errors.New("read peer credentials: the kernel answered in an unknown form")
	}
	return fromNumbers(cred.Uid, cred.Groups[:cred.Ngroups], pid), nil
}
