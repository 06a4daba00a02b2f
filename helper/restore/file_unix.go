// SPDX-License-Identifier: Apache-2.0

//go:build unix

package restore

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncFolder makes a rename in the folder survive a loss of power.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// lock takes an exclusive lock on the file at path, which it makes, and returns how to let go of it. The kernel lets
// go by itself when the process ends.
func lock(path string) (func() error, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		closeErr := file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(ErrInUse, closeErr)
		}
		return nil, errors.Join(fmt.Errorf("lock journal: %w", err), closeErr)
	}
	return file.Close, nil
}
