// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/helper/restore"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

const original = "# by hand\nnameserver 192.0.2.53\nsearch corp.example\n\n"

// machineFiles is a folder that stands for /etc.
type machineFiles struct {
	path    string
	journal *restore.Journal
	state   string
}

func newMachineFiles(t *testing.T) *machineFiles {
	t.Helper()
	m := &machineFiles{path: filepath.Join(t.TempDir(), "resolv.conf"), state: filepath.Join(t.TempDir(), "journal.json")}
	m.open(t)
	t.Cleanup(func() { _ = m.journal.Close() })
	return m
}

func (m *machineFiles) open(t *testing.T) {
	t.Helper()
	journal, err := restore.Open(m.state, Kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	m.journal = journal
}

func (m *machineFiles) write(t *testing.T, content string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(m.path, []byte(content), mode), os.Chmod(m.path, mode)); err != nil {
		t.Fatal(err)
	}
}

func (m *machineFiles) read(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(m.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (m *machineFiles) system(t *testing.T) *fileSystem {
	t.Helper()
	f, err := newFileSystem(m.path, m.journal, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.close() })
	return f
}

func apply(t *testing.T, f *fileSystem, p plan) {
	t.Helper()
	if _, err := f.apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func TestFileComesBackByteForByte(t *testing.T) {
	m := newMachineFiles(t)
	m.write(t, original, 0o640)
	old := time.Date(2020, 2, 3, 4, 5, 6, 7, time.UTC)
	if err := os.Chtimes(m.path, old, old); err != nil {
		t.Fatal(err)
	}
	before, err := takeSnapshot(m.path)
	if err != nil {
		t.Fatal(err)
	}
	f := m.system(t)
	apply(t, f, testPlan())
	golden.Compare(t, filepath.Join("testdata", "resolv.conf-applied"), m.read(t))
	if got := f.upstreams(); len(got) != 1 || got[0] != netip.MustParseAddrPort("192.0.2.53:53") {
		t.Errorf("upstreams %v", got)
	}

	// Another plan changes the file and not what comes back.
	c := testConfig()
	c.Namespace = "dev"
	apply(t, f, newPlan(c, c.Addresses, dnsPort))
	if !strings.Contains(m.read(t), "search dev.svc.cluster.local corp.example\n") {
		t.Errorf("got %s", m.read(t))
	}
	if err := errors.Join(f.revert(t.Context()), f.revert(t.Context())); err != nil {
		t.Fatal(err)
	}
	after, err := takeSnapshot(m.path)
	if err != nil || !equalSnapshots(before, after) {
		t.Errorf("before %+v\nafter %+v, %v", before, after, err)
	}
	m.wantClean(t)
}

func equalSnapshots(a, b snapshot) bool {
	first, errA := json.Marshal(a)
	second, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(first) == string(second) && a.Modified.Equal(b.Modified)
}

// wantClean fails when the journal or the folder holds more than before.
func (m *machineFiles) wantClean(t *testing.T) {
	t.Helper()
	if left := m.journal.Entries(); len(left) > 0 {
		t.Errorf("the journal holds %v", left)
	}
	files, err := os.ReadDir(filepath.Dir(m.path))
	for _, file := range files {
		if strings.Contains(file.Name(), "fairlead") {
			t.Errorf("%s is left", file.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestLinkComesBackAsALink(t *testing.T) {
	m := newMachineFiles(t)
	target := filepath.Join(t.TempDir(), "run-resolv.conf")
	if err := os.WriteFile(target, []byte(original), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, m.path); err != nil {
		t.Fatal(err)
	}
	f := m.system(t)
	apply(t, f, testPlan())
	if content, err := os.ReadFile(target); err != nil || string(content) != original {
		t.Errorf("the link's target was written: %q, %v", content, err)
	}
	if err := f.revert(t.Context()); err != nil {
		t.Fatal(err)
	}
	if link, err := os.Readlink(m.path); err != nil || link != target {
		t.Errorf("link %q, %v", link, err)
	}
	m.wantClean(t)
}

func TestNoFileComesBackAsNone(t *testing.T) {
	m := newMachineFiles(t)
	f := m.system(t)
	apply(t, f, testPlan())
	m.read(t)
	if err := f.revert(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(m.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	m.wantClean(t)
}

func TestKilledHelperIsUndoneByTheNext(t *testing.T) {
	m := newMachineFiles(t)
	m.write(t, original, 0o644)
	apply(t, m.system(t), testPlan())
	// The process ends here: nothing is reverted, only the lock is gone. A temporary file is left besides.
	if err := m.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(m.path), ".resolv.conf.fairlead-123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	for range 2 {
		if err := m.journal.UndoAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := m.read(t); got != original {
			t.Errorf("got %q", got)
		}
	}
	m.wantClean(t)
}

func TestForeignWritesWin(t *testing.T) {
	m := newMachineFiles(t)
	m.write(t, original, 0o644)
	f := m.system(t)
	apply(t, f, testPlan())

	// A DHCP client replaces the file, as they do, by one of another name.
	foreign := "nameserver 198.51.100.1\nsearch home.example\n"
	temporary := m.path + ".dhcp"
	if err := errors.Join(os.WriteFile(temporary, []byte(foreign), 0o644), os.Rename(temporary, m.path)); err != nil {
		t.Fatal(err)
	}
	<-f.disturbed()
	apply(t, f, testPlan())
	if got := m.read(t); !strings.Contains(got, "nameserver 198.19.0.3\nsearch shop-a.svc.cluster.local home.example\n") {
		t.Errorf("got %q", got)
	}
	if got := f.upstreams(); len(got) != 1 || got[0] != netip.MustParseAddrPort("198.51.100.1:53") {
		t.Errorf("upstreams %v", got)
	}
	if err := f.revert(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t); got != foreign {
		t.Errorf("what came back is not the latest: %q", got)
	}
	m.wantClean(t)
}

func TestForeignWriteWithoutUsStays(t *testing.T) {
	m := newMachineFiles(t)
	m.write(t, original, 0o644)
	f := m.system(t)
	apply(t, f, testPlan())
	m.write(t, "nameserver 198.51.100.1\n", 0o644)
	if err := f.revert(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t); got != "nameserver 198.51.100.1\n" {
		t.Errorf("got %q", got)
	}
}

func TestQuarrelEnds(t *testing.T) {
	m := newMachineFiles(t)
	m.write(t, original, 0o644)
	f := m.system(t)
	apply(t, f, testPlan())
	for range quarrelsome {
		m.write(t, original, 0o644)
		apply(t, f, testPlan())
	}
	m.write(t, original, 0o644)
	if _, err := f.apply(t.Context(), testPlan()); err == nil || !strings.Contains(err.Error(), "keeps writing") {
		t.Errorf("got %v", err)
	}
}
