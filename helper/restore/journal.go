// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// format is the version of the journal's file.
const format = 1

// Kind is a sort of change and how it is undone. Names are stable: a newer helper undoes what an older one recorded.
type Kind struct {
	// Name is unique, such as "linux-route-table".
	Name string
	// Undo puts back what an entry describes. It must be idempotent, must cope with a change that was recorded but
	// never made, and must leave alone what is no longer as this program left it and belongs to somebody else.
	Undo func(ctx context.Context, data json.RawMessage) error
	// Persistent says that the change outlives a reboot, such as a file on disk. Entries of other kinds are not forced
	// to the disk, which a crash of this process does not need and which costs milliseconds each.
	Persistent bool
}

// Entry is one change that was or is about to be made. It is plain data.
type Entry struct {
	ID   uint64          `json:"id"`
	Kind string          `json:"kind"`
	Time time.Time       `json:"time"`
	Data json.RawMessage `json:"data"`
}

// Journal is the list of changes made to the machine and not undone yet, on disk. It is safe for concurrent use.
// Undo functions may not call back into the journal.
type Journal struct {
	path   string
	unlock func() error

	mu      sync.Mutex
	kinds   map[string]Kind
	entries []Entry
	next    uint64
}

// journalFile is what is on disk.
type journalFile struct {
	Format  int     `json:"format"`
	Next    uint64  `json:"next"`
	Entries []Entry `json:"entries"`
}

// ErrInUse says that another process has the journal open: the helper's service, as a rule.
var ErrInUse = errors.New("another fairlead-helper has the journal open")

// Open opens the journal file at path, makes its folder when there is none, and keeps other processes out until
// Close. kinds are all the changes that entries may describe. It undoes nothing by itself: call UndoAll.
//
// A file that can't be understood is set aside as <path>.broken, and reported with the error ErrBroken beside a
// usable, empty journal.
func Open(path string, kinds ...Kind) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	unlock, err := lockPatiently(path + ".lock")
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, unlock: unlock, kinds: make(map[string]Kind, len(kinds)), next: 1}
	for _, kind := range kinds {
		j.kinds[kind.Name] = kind
	}
	err = j.load()
	if err != nil && !errors.Is(err, ErrBroken) {
		return nil, errors.Join(err, unlock())
	}
	return j, err
}

// lockWait is how long Open waits for another process to let go of the journal. A helper that was killed holds its lock
// until the kernel has torn down its devices, while its successor is being started already.
const lockWait = 3 * time.Second

// lockPatiently is lock, tried again for a while when another process has the journal open.
func lockPatiently(path string) (func() error, error) {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockWait / 100) {
		unlock, err := lock(path)
		if !errors.Is(err, ErrInUse) || time.Now().After(deadline) {
			return unlock, err
		}
	}
}

// ErrBroken says that the journal's file could not be understood. Nobody but this package writes it, and only whole.
var ErrBroken = errors.New("the journal is damaged")

func (j *Journal) load() error {
	content, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	file, err := decode(content)
	if err != nil {
		aside := j.path + ".broken"
		if renameErr := os.Rename(j.path, aside); renameErr != nil {
			return fmt.Errorf("set damaged journal aside: %w", renameErr)
		}
		return fmt.Errorf("%w: %w; it was moved to %s", ErrBroken, err, aside)
	}
	j.entries, j.next = file.Entries, file.Next
	return nil
}

func decode(content []byte) (journalFile, error) {
	var file journalFile
	decoder := json.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&file); err != nil {
		return journalFile{}, err
	}
	if file.Format != format {
		return journalFile{}, fmt.Errorf("format %d, not %d", file.Format, format)
	}
	for _, entry := range file.Entries {
		file.Next = max(file.Next, entry.ID+1)
	}
	file.Next = max(file.Next, 1)
	return file, nil
}

// Record writes down a change that is about to be made, and returns once that is safe on disk. data is marshalled to
// JSON. The entry's kind must be known. When Record fails the change must not be made.
func (j *Journal) Record(ctx context.Context, kind string, data any) (uint64, error) {
	ids, err := j.RecordAll(ctx, kind, data)
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// RecordAll writes down several changes of one kind at once, all of them or none, and returns their ids in order. It
// costs as much as one Record.
func (j *Journal) RecordAll(ctx context.Context, kind string, data ...any) ([]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	known, ok := j.kinds[kind]
	if !ok {
		return nil, fmt.Errorf("record in the journal: unknown kind %q", kind)
	}
	entries, ids, next := slices.Clone(j.entries), make([]uint64, 0, len(data)), j.next
	for _, d := range data {
		raw, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("record %s in the journal: %w", kind, err)
		}
		entries = append(entries, Entry{ID: next, Kind: kind, Time: time.Now().UTC(), Data: raw})
		ids = append(ids, next)
		next++
	}
	if err := j.save(entries, next, known.Persistent); err != nil {
		return nil, fmt.Errorf("record %s in the journal: %w", kind, err)
	}
	return ids, nil
}

// Undo puts back the changes with these ids, the newest first whatever their order, and strikes them out. It goes on
// after errors; what failed stays in the journal. Ids that are not in the journal are done already.
func (j *Journal) Undo(ctx context.Context, ids ...uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.undo(ctx, func(e Entry) bool { return slices.Contains(ids, e.ID) })
}

// UndoAll puts back every change in the journal, the newest first.
func (j *Journal) UndoAll(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.undo(ctx, func(Entry) bool { return true })
}

func (j *Journal) undo(ctx context.Context, wanted func(Entry) bool) error {
	var errs []error
	var undone []uint64
	persistent := false
	for _, entry := range slices.Backward(j.entries) {
		if !wanted(entry) {
			continue
		}
		kind, ok := j.kinds[entry.Kind]
		if !ok {
			errs = append(errs, fmt.Errorf("undo %s: this version does not know such a change", entry.Kind))
			continue
		}
		if err := kind.Undo(ctx, entry.Data); err != nil {
			errs = append(errs, fmt.Errorf("undo %s: %w", entry.Kind, err))
			continue
		}
		undone = append(undone, entry.ID)
		persistent = persistent || kind.Persistent
	}
	if err := j.strike(undone, persistent); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Done strikes out entries whose change was undone, or never made, without running their Undo.
func (j *Journal) Done(ids ...uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.strike(ids, false)
}

func (j *Journal) strike(ids []uint64, persistent bool) error {
	left := slices.DeleteFunc(slices.Clone(j.entries), func(e Entry) bool { return slices.Contains(ids, e.ID) })
	if len(left) == len(j.entries) {
		return nil
	}
	if err := j.save(left, j.next, persistent); err != nil {
		return fmt.Errorf("strike out journal entries: %w", err)
	}
	return nil
}

// Entries returns what is in the journal, the oldest first.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// Close lets other processes open the journal. Entries stay on disk.
func (j *Journal) Close() error { return j.unlock() }

// save replaces the file by one with these entries, as a whole or not at all. The caller holds mu.
func (j *Journal) save(entries []Entry, next uint64, sync bool) error {
	content, err := json.Marshal(journalFile{Format: format, Next: next, Entries: entries})
	if err != nil {
		return err
	}
	if err := ReplaceFile(j.path, append(content, '\n'), 0o600, sync); err != nil {
		return err
	}
	j.entries, j.next = entries, next
	return nil
}
