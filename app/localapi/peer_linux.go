// SPDX-License-Identifier: Apache-2.0

package localapi

import "golang.org/x/sys/unix"

// peerOf is the user at the other end of a socket (SO_PEERCRED, unix(7)).
func peerOf(fd int) (uint32, error) {
	credentials, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return credentials.Uid, nil
}
