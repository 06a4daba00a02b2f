// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

const (
	// quarrelsome is how many times within quarrelTime another program may write the file before it is left to it.
	quarrelsome = 8
	quarrelTime = 10 * time.Second
)

// fileSystem writes /etc/resolv.conf itself. All questions of the machine then come here, and go on to the servers
// that the file named before. When another program writes the file, as they do when the network changes, its version
// becomes the one to put back, its servers the ones to ask, and ours is written again.
type fileSystem struct {
	path    string
	journal *restore.Journal
	log     *slog.Logger
	watcher *fsnotify.Watcher
	foreign chan struct{}

	mu     sync.Mutex
	entry  uint64 // in the journal; 0 while the file is not ours
	ours   []byte
	self   []netip.Addr
	before resolvConf
	writes []time.Time // by others, lately
}

func newFileSystem(path string, journal *restore.Journal, log *slog.Logger) (*fileSystem, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	// The folder, because programs replace the file by another of its name; and the file, which may be a mount.
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", path, err), watcher.Close())
	}
	f := &fileSystem{path: path, journal: journal, log: log, watcher: watcher, foreign: make(chan struct{}, 1)}
	f.before = f.read()
	go f.follow()
	return f, nil
}

func (f *fileSystem) mode() string { return modeFile }

func (f *fileSystem) anyPort() bool { return false }

func (f *fileSystem) disturbed() <-chan struct{} { return f.foreign }

// follow looks at the file after each event, until the watcher is closed.
func (f *fileSystem) follow() {
	for {
		select {
		case event, open := <-f.watcher.Events:
			if !open {
				return
			}
			if event.Name == f.path && !event.Has(fsnotify.Chmod) && f.isForeign() {
				select {
				case f.foreign <- struct{}{}:
				default:
				}
			}
		case err, open := <-f.watcher.Errors:
			if !open {
				return
			}
			f.log.Warn("watch the resolver's file", "path", f.path, "error", err)
		}
	}
}

// isForeign reports whether the file was ours and now is not.
func (f *fileSystem) isForeign() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entry == 0 {
		return false
	}
	content, err := os.ReadFile(f.path)
	return err != nil || !bytes.Equal(content, f.ours)
}

func (f *fileSystem) read() resolvConf {
	content, err := os.ReadFile(f.path)
	if err != nil {
		return resolvConf{} // no file: the C library then asks a server on this machine, if any (resolv.conf(5))
	}
	return parseResolvConf(content)
}

func (f *fileSystem) apply(ctx context.Context, p plan) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entry != 0 {
		content, err := os.ReadFile(f.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if bytes.Equal(content, f.ours) {
			return "", f.rewrite(ctx, p)
		}
		if f.quarrel() {
			return "", fmt.Errorf("another program keeps writing %s; stop it, or have it use systemd-resolved", f.path)
		}
	}
	f.adopt(p)
	return "", f.write(ctx, p)
}

// adopt takes over what the file says now: settings that are not ours. The caller holds mu.
func (f *fileSystem) adopt(p plan) {
	now := f.read()
	now.servers = without(without(now.servers, p.servers), f.self)
	if len(now.servers) == 0 {
		now.servers = f.before.servers
	}
	f.before = now
}

// rewrite changes the file from one plan of ours to another. The former file stays what it is in the journal.
func (f *fileSystem) rewrite(ctx context.Context, p plan) error {
	if bytes.Equal(renderResolvConf(p, f.before), f.ours) {
		return nil
	}
	if err := f.journal.Undo(ctx, f.entry); err != nil {
		return err
	}
	f.entry = 0
	return f.write(ctx, p)
}

// write makes the file ours. The caller holds mu.
func (f *fileSystem) write(ctx context.Context, p plan) error {
	ours := renderResolvConf(p, f.before)
	id, err := replaceFile(ctx, f.journal, f.path, ours)
	if err != nil {
		return err
	}
	if f.entry != 0 {
		// What was there before another program wrote it is nobody's wish any more.
		err = f.journal.Done(f.entry)
	}
	f.entry, f.ours, f.self = id, ours, p.servers
	return err
}

// quarrel counts a foreign write and reports whether there were too many. The caller holds mu.
func (f *fileSystem) quarrel() bool {
	now := time.Now()
	recent := f.writes[:0]
	for _, at := range f.writes {
		if now.Sub(at) < quarrelTime {
			recent = append(recent, at)
		}
	}
	f.writes = append(recent, now)
	return len(f.writes) > quarrelsome
}

func (f *fileSystem) revert(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entry == 0 {
		return nil
	}
	if err := f.journal.Undo(ctx, f.entry); err != nil {
		return err
	}
	f.entry = 0
	return nil
}

func (f *fileSystem) upstreams() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before.servers
}

func (f *fileSystem) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	return lookup(ctx, name, f.read().servers)
}

func (f *fileSystem) close() error { return f.watcher.Close() }
