// SPDX-License-Identifier: Apache-2.0

//go:build unix

package authorization

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// DefaultPath is where install writes the policy.
const DefaultPath = "/etc/fairlead/helper.json"

// isID reports whether an entry is a number.
func isID(entry string) bool {
	return entry != "" && len(entry) <= 10 && strings.Trim(entry, "0123456789") == ""
}

// checkTrusted refuses a file that others than root, or this process's own user, can write.
func checkTrusted(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its owner is unknown")
	}
	if stat.Uid != 0 && stat.Uid != uint32(os.Geteuid()) || info.Mode().Perm()&0o022 != 0 {
		return errors.New("others than root can write it; make it root's with mode 0644")
	}
	return nil
}

// Entrust has nothing to do: root, who writes the policy file, owns it.
func Entrust(string) error { return nil }
