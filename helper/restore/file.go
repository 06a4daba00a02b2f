// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReplaceFile makes path hold content with the given permissions: after a crash at any moment it holds either the
// old or the new content, never a part. With sync the new content also survives a loss of power once ReplaceFile has
// returned. A symbolic link at path is replaced, not followed.
func ReplaceFile(path string, content []byte, mode fs.FileMode, sync bool) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err := fill(file, content, mode, sync); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), os.Remove(file.Name()))
	}
	if !sync {
		return nil
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

// fill writes content to file, which it closes.
func fill(file *os.File, content []byte, mode fs.FileMode, sync bool) error {
	_, err := file.Write(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
