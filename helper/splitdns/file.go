// SPDX-License-Identifier: Apache-2.0

//go:build unix

package splitdns

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// fileKind is a file of the resolver that this package replaces or makes. Undoing it brings the former file back,
// unless somebody else has written the file since.
var fileKind = restore.Kind{Name: "dns-file", Undo: undoFile, Persistent: true}

// fileEntry is a file as it was, and how it is known that it is still as we left it.
type fileEntry struct {
	Path   string   `json:"path"`
	Before snapshot `json:"before"`
	// Ours is the SHA-256 of what was written in its place.
	Ours []byte `json:"ours"`
}

// snapshot is all there is to know about a small file or a symbolic link.
type snapshot struct {
	Exists   bool        `json:"exists"`
	Link     string      `json:"link,omitempty"` // target of a symbolic link; the rest concerns files
	Content  []byte      `json:"content,omitempty"`
	Mode     fs.FileMode `json:"mode,omitempty"`
	UID      int         `json:"uid"`
	GID      int         `json:"gid"`
	Modified time.Time   `json:"modified"`
	Label    []byte      `json:"label,omitempty"` // SELinux
}

// maxFile bounds what is read of a resolver's file, in bytes.
const maxFile = 1 << 20

// takeSnapshot reads the file or the link at path.
func takeSnapshot(path string) (snapshot, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{}, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{Exists: true, Mode: info.Mode().Perm(), Modified: info.ModTime(), Label: readLabel(path)}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.UID, s.GID = int(stat.Uid), int(stat.Gid)
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		s.Link, err = os.Readlink(path)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is neither a file nor a link", path)
	case info.Size() > maxFile:
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	default:
		s.Content, err = os.ReadFile(path)
	}
	return s, err
}

// replaceFile writes content to path, after its former state is in the journal. It returns the entry's id.
func replaceFile(ctx context.Context, journal *restore.Journal, path string, content []byte) (uint64, error) {
	ids, err := replaceFiles(ctx, journal, []plannedFile{{path, string(content)}})
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// replaceFiles writes files, all or none, after the former state of all of them is in the journal. It returns the
// entries' ids.
func replaceFiles(ctx context.Context, journal *restore.Journal, files []plannedFile) ([]uint64, error) {
	entries := make([]any, 0, len(files))
	snapshots := make([]snapshot, 0, len(files))
	for _, file := range files {
		before, err := takeSnapshot(file.path)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", file.path, err)
		}
		sum := sha256.Sum256([]byte(file.content))
		entries = append(entries, fileEntry{Path: file.path, Before: before, Ours: sum[:]})
		snapshots = append(snapshots, before)
	}
	ids, err := journal.RecordAll(ctx, fileKind.Name, entries...)
	if err != nil {
		return nil, err
	}
	for i, file := range files {
		if err := snapshots[i].replacement([]byte(file.content)).put(file.path); err != nil {
			return nil, errors.Join(fmt.Errorf("write %s: %w", file.path, err), journal.Undo(context.WithoutCancel(ctx), ids...))
		}
	}
	return ids, nil
}

// replacement is a file with another content in the place of s.
func (s snapshot) replacement(content []byte) snapshot {
	after := snapshot{Exists: true, Content: content, Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid(), Label: s.Label}
	if s.Exists && s.Link == "" {
		after.Mode, after.UID, after.GID = s.Mode, s.UID, s.GID
	}
	return after
}

// isOurs reports whether path holds what the entry says was written there.
func (e fileEntry) isOurs() (bool, error) {
	now, err := takeSnapshot(e.Path)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(now.Content)
	return now.Exists && now.Link == "" && bytes.Equal(sum[:], e.Ours), nil
}

func undoFile(_ context.Context, data json.RawMessage) error {
	var e fileEntry
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read journal entry: %w", err)
	}
	if err := removeTemporaries(e.Path); err != nil {
		return err
	}
	if ours, err := e.isOurs(); err != nil || !ours {
		return err // somebody else's file by now, or never written
	}
	if err := e.Before.put(e.Path); err != nil {
		return fmt.Errorf("put %s back: %w", e.Path, err)
	}
	return nil
}

// removeTemporaries removes what a crash left beside path in the middle of put.
func removeTemporaries(path string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".fairlead-*"))
	for _, temporary := range left {
		err = errors.Join(err, os.Remove(temporary))
	}
	return err
}

// put makes path as the snapshot says, at once: a reader sees the one or the other.
func (s snapshot) put(path string) error {
	if !s.Exists {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	temporary, err := s.build(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	err = os.Rename(temporary, path)
	if err == nil {
		return syncFolder(filepath.Dir(path))
	}
	err = errors.Join(err, os.Remove(temporary))
	if s.Link == "" && errors.Is(err, unix.EBUSY) {
		return s.overwrite(path) // the file is a mount of its own, as in containers
	}
	return err
}

// build makes the snapshot under a temporary name in folder and returns its path.
func (s snapshot) build(folder, base string) (string, error) {
	if s.Link != "" {
		return s.buildLink(folder, base)
	}
	file, err := os.CreateTemp(folder, "."+base+".fairlead-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(s.Content)
	err = errors.Join(err, file.Chown(s.UID, s.GID), file.Chmod(s.Mode), writeLabel(file, s.Label), file.Sync(), file.Close())
	if err == nil && !s.Modified.IsZero() {
		err = os.Chtimes(file.Name(), time.Time{}, s.Modified)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

func (s snapshot) buildLink(folder, base string) (string, error) {
	// The name is free in practice; where it is not, what is there was left by a crash.
	temporary := filepath.Join(folder, "."+base+".fairlead-link")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Symlink(s.Link, temporary); err != nil {
		return "", err
	}
	if err := os.Lchown(temporary, s.UID, s.GID); err != nil {
		return "", errors.Join(err, os.Remove(temporary))
	}
	return temporary, nil
}

// overwrite writes the content into the file that is there, whose owner and mode stay.
func (s snapshot) overwrite(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(s.Content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && !s.Modified.IsZero() {
		err = os.Chtimes(path, time.Time{}, s.Modified)
	}
	return err
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
