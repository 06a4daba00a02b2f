// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// undone is a kind that writes down what it undid.
type undone struct {
	list []string
	err  error
}

func (u *undone) kind(name string) Kind {
	return Kind{Name: name, Persistent: true, Undo: func(_ context.Context, data json.RawMessage) error {
		if u.err != nil {
			return u.err
		}
		var what string
		if err := json.Unmarshal(data, &what); err != nil {
			return err
		}
		u.list = append(u.list, what)
		return nil
	}}
}

func open(t *testing.T, path string, kinds ...Kind) *Journal {
	t.Helper()
	j, err := Open(path, kinds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func record(t *testing.T, j *Journal, kind, what string) uint64 {
	t.Helper()
	id, err := j.Record(t.Context(), kind, what)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestUndoInReverseAcrossProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "journal.json")
	u := &undone{}
	j := open(t, path, u.kind("a"), u.kind("b"))
	record(t, j, "a", "first")
	second := record(t, j, "b", "second")
	record(t, j, "a", "third")
	record(t, j, "b", "fourth")
	if err := j.Undo(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if err := j.Done(second, 99); err != nil {
		t.Errorf("what is done already: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = open(t, path, u.kind("a"), u.kind("b"))
	if err := errors.Join(j.UndoAll(t.Context()), j.UndoAll(t.Context())); err != nil {
		t.Fatal(err)
	}
	if want := []string{"second", "fourth", "third", "first"}; !slices.Equal(u.list, want) {
		t.Errorf("undone %q, want %q", u.list, want)
	}
	if id := record(t, j, "a", "fifth"); id != 5 {
		t.Errorf("an id is used twice: %d", id)
	}
}

func TestRecordIsOnDiskBeforeItReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	j := open(t, path, Kind{Name: "a"})
	record(t, j, "a", "change")
	content, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(content), `"change"`) {
		t.Errorf("%s, %v", content, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSeveralAtOnce(t *testing.T) {
	u := &undone{}
	j := open(t, filepath.Join(t.TempDir(), "journal.json"), u.kind("a"))
	ids, err := j.RecordAll(t.Context(), "a", "one", "two", "three")
	if err != nil || !slices.Equal(ids, []uint64{1, 2, 3}) {
		t.Fatalf("%v, %v", ids, err)
	}
	if _, err := j.RecordAll(t.Context(), "a", "four", func() {}); err == nil || len(j.Entries()) != 3 {
		t.Errorf("a part of what can't be written was: %v, %v", err, j.Entries())
	}
	if err := j.Undo(t.Context(), ids[1], ids[0], ids[2]); err != nil || !slices.Equal(u.list, []string{"three", "two", "one"}) {
		t.Errorf("%q, %v", u.list, err)
	}
}

func TestWhatCantBeUndoneStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	good, bad := &undone{}, &undone{err: errors.New("device is busy")}
	j := open(t, path, good.kind("good"), bad.kind("bad"))
	record(t, j, "good", "one")
	record(t, j, "bad", "two")
	record(t, j, "good", "three")
	if err := j.UndoAll(t.Context()); err == nil || !strings.Contains(err.Error(), "device is busy") {
		t.Errorf("got %v", err)
	}
	if want := []string{"three", "one"}; !slices.Equal(good.list, want) {
		t.Errorf("it stopped at the failure: %q", good.list)
	}
	if left := j.Entries(); len(left) != 1 || left[0].Kind != "bad" {
		t.Errorf("left %v", left)
	}
	bad.err = nil
	if err := j.UndoAll(t.Context()); err != nil || len(j.Entries()) != 0 {
		t.Errorf("the next time: %v, left %v", err, j.Entries())
	}
}

func TestEntriesOfALaterVersionStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	u := &undone{}
	j := open(t, path, u.kind("new"))
	record(t, j, "new", "x")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	old := open(t, path, u.kind("old"))
	if err := old.UndoAll(t.Context()); err == nil || len(old.Entries()) != 1 {
		t.Errorf("%v, left %v", err, old.Entries())
	}
	if _, err := old.Record(t.Context(), "new", "x"); err == nil {
		t.Error("a change that nobody can undo was recorded")
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	first := open(t, path)
	if _, err := Open(path); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestDamagedJournalIsSetAside(t *testing.T) {
	for name, content := range map[string]string{"cut off": `{"format":1,"entr`, "other format": `{"format":7}`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := Open(path, Kind{Name: "a"})
			if !errors.Is(err, ErrBroken) || j == nil {
				t.Fatalf("got %v", err)
			}
			record(t, j, "a", "still works")
			if kept, err := os.ReadFile(path + ".broken"); err != nil || string(kept) != content {
				t.Errorf("%q, %v", kept, err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRecordThatCantBeSavedIsRefused(t *testing.T) {
	folder := t.TempDir()
	j := open(t, filepath.Join(folder, "gone", "journal.json"), Kind{Name: "a"})
	if err := os.RemoveAll(filepath.Join(folder, "gone")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Record(t.Context(), "a", "x"); err == nil || len(j.Entries()) != 0 {
		t.Errorf("%v, entries %v", err, j.Entries())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Record(ended, "a", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// FuzzDecode holds that no content of the file does more than be refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":1,"next":3,"entries":[{"id":2,"kind":"a","time":"2026-01-02T03:04:05Z","data":{"x":1}}]}`))
	f.Add([]byte(`{"format":1,"entries":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := decode(content)
		if err != nil {
			return
		}
		for _, entry := range file.Entries {
			if entry.ID >= file.Next && entry.ID != ^uint64(0) {
				t.Errorf("id %d would be given again after %d", entry.ID, file.Next)
			}
		}
	})
}
