// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// syncFolder does nothing: NTFS logs renames itself, and folders can't be flushed.
func syncFolder(string) error { return nil }

// lock takes an exclusive lock on the file at path, which it makes, and returns how to let go of it. The system lets
// go by itself when the process ends.
func lock(path string) (func() error, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal lock: %w", err)
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, new(windows.Overlapped)); err != nil {
		closeErr := file.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, errors.Join(ErrInUse, closeErr)
		}
		return nil, errors.Join(fmt.Errorf("lock journal: %w", err), closeErr)
	}
	return file.Close, nil
}
