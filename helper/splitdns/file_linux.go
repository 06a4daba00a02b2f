// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// labelAttribute is where SELinux keeps a file's label. A name server's file with the label of any other file in /etc
// is unreadable to confined services.
const labelAttribute = "security.selinux"

// readLabel returns a file's SELinux label, or nothing where there is none.
func readLabel(path string) []byte {
	var label [256]byte
	n, err := unix.Lgetxattr(path, labelAttribute, label[:])
	if err != nil {
		return nil
	}
	return label[:n]
}

func writeLabel(file *os.File, label []byte) error {
	if len(label) == 0 {
		return nil
	}
	err := unix.Fsetxattr(int(file.Fd()), labelAttribute, label, 0)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}
