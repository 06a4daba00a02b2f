// SPDX-License-Identifier: Apache-2.0

package localapi

import "golang.org/x/sys/unix"

// peerOf is the user at the other end of a socket (LOCAL_PEERCRED, unix(4)).
func peerOf(fd int) (uint32, error) {
	credentials, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return credentials.Uid, nil
}
