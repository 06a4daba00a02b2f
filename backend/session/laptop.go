// SPDX-License-Identifier: Apache-2.0

package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// laptopID returns what tells this laptop from the user's others: random, made once, and kept in the user's state
// folder. Where nothing can be kept, it is derived from the machine's name, which is good enough until it changes.
func laptopID() string {
	folder, err := StateFolder()
	if err != nil {
		return nameBasedID()
	}
	file := filepath.Join(folder, "laptop-id")
	if id, err := os.ReadFile(file); err == nil && len(strings.TrimSpace(string(id))) >= 16 {
		return strings.TrimSpace(string(id))
	}
	id := rand.Text()
	if err := writeNew(folder, file, id); err != nil {
		return nameBasedID()
	}
	return id
}

// writeNew writes a small file so that it is there whole or not at all.
func writeNew(folder, file, text string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	draft, err := os.CreateTemp(folder, ".laptop-id-*")
	if err != nil {
		return err
	}
	_, err = draft.WriteString(text + "\n")
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), file)
	}
	if err != nil {
		if removeErr := os.Remove(draft.Name()); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// StateFolder is where the user's programs keep state (XDG Base Directory Specification).
func StateFolder() (string, error) {
	if folder := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(folder) {
		return filepath.Join(folder, "fairlead"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find home folder: %w", err)
	}
	return filepath.Join(home, ".local", "state", "fairlead"), nil
}

func nameBasedID() string {
	sum := sha256.Sum256([]byte(hostName()))
	return hex.EncodeToString(sum[:])
}

// hostName is the machine's name, for people to read; empty if it has none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
