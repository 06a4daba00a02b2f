// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// maxFile bounds the file, in bytes.
const maxFile = 1 << 20

// DefaultFile returns where the settings of this user are: $XDG_CONFIG_HOME/fairlead/settings.json, else the same below
// the system's folder for that, such as ~/.config.
func DefaultFile() (string, error) {
	folder, err := configFolder()
	if err != nil {
		return "", fmt.Errorf("find the folder for settings: %w", err)
	}
	return filepath.Join(folder, "fairlead", "settings.json"), nil
}

func configFolder() (string, error) {
	folder := os.Getenv("XDG_CONFIG_HOME")
	switch {
	case runtime.GOOS == "windows" || folder == "":
		return os.UserConfigDir()
	case filepath.IsAbs(folder):
		return folder, nil
	}
	// A relative one is to be ignored (XDG Base Directory Specification).
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".config"), err
}

// Store is the file of a user. It notices when somebody edits it. It is safe for concurrent use.
type Store struct {
	file string

	mu      sync.Mutex
	read    stamp
	present Settings
	broken  error
}

// stamp tells one version of the file from another.
type stamp struct {
	at    time.Time
	size  int64
	known bool // it has been looked at
}

// NewStore returns the settings in file, which need not exist.
func NewStore(file string) *Store { return &Store{file: file} }

// File returns where the settings are kept.
func (s *Store) File() string { return s.file }

// Get returns the settings as the file has them now. While the file is broken they are the defaults, and the error, a
// *problem.Problem, says what is wrong; the file stays as it is until somebody saves.
func (s *Store) Get() (Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := stamp{known: true}
	info, err := os.Stat(s.file)
	if err == nil {
		now.at, now.size = info.ModTime(), info.Size()
	}
	if now != s.read {
		s.read = now
		s.present, s.broken = load(s.file)
	}
	return s.present.clone(), s.broken
}

// Save checks the settings and replaces the file. Errors are *problem.Problem; the file is then as it was.
func (s *Store) Save(wanted Settings) error {
	if err := wanted.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := write(s.file, wanted); err != nil {
		return problem.Wrap(err, problem.Internal, "Look at the folder's permissions, and at whether the disk is full.", "save the settings in %s", s.file)
	}
	s.read = stamp{} // to be read again: the file is what counts
	return nil
}

// load reads the file strictly. One that does not exist is the defaults.
func load(file string) (Settings, error) {
	opened, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, unreadable(file, err)
	}
	defer opened.Close()
	data, err := io.ReadAll(io.LimitReader(opened, maxFile+1))
	if err != nil {
		return Settings{}, unreadable(file, err)
	}
	loaded, err := Parse(data)
	if err != nil {
		return Settings{}, unreadable(file, err)
	}
	return loaded, nil
}

func unreadable(file string, err error) error {
	return problem.Wrap(err, problem.Usage, "Correct the file, or save the settings anew, which replaces it. Until then the defaults count.",
		"the settings in %s can't be used", file)
}

// Parse reads settings strictly: one JSON object of known fields with values that Check accepts.
func Parse(data []byte) (Settings, error) {
	if len(data) > maxFile {
		return Settings{}, fmt.Errorf("read settings: more than %d bytes", maxFile)
	}
	var s Settings
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Settings{}, errors.New("read settings: there is more after the JSON object")
	}
	return s, s.Check()
}

// write replaces the file at once: whoever reads it meets the old or the new one.
func write(file string, s Settings) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(file); err == nil { // people keep such files elsewhere, and link to them
		file, folder = target, filepath.Dir(target)
	}
	temporary, err := os.CreateTemp(folder, ".settings-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // it is gone once renamed
	_, err = temporary.Write(append(data, '\n'))
	if err == nil {
		err = temporary.Sync()
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}
