// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// flushKind makes the system read the resolver files again. It is recorded before the files, and so undone after them.
var flushKind = restore.Kind{Name: "dns-flush", Undo: func(ctx context.Context, _ json.RawMessage) error { return flush(ctx) }}

// folderKind removes the resolver folder if it was made here and is empty.
var folderKind = restore.Kind{Name: "dns-resolver-folder", Persistent: true, Undo: func(context.Context, json.RawMessage) error {
	left, err := os.ReadDir(resolverFolder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(left) > 0 {
		return nil
	}
	return errors.Join(err, os.Remove(resolverFolder))
}}

// Kinds are the changes to name resolution that the journal may hold.
func Kinds() []restore.Kind { return []restore.Kind{fileKind, flushKind, folderKind} }

// maxResolverFiles bounds the files: the system reads all of them again at each change.
const maxResolverFiles = 500

// resolverFiles writes files in /etc/resolver.
type resolverFiles struct {
	journal *restore.Journal

	mu      sync.Mutex
	entries []uint64
	ours    []netip.Addr
}

func detect(_ context.Context, journal *restore.Journal, _ *slog.Logger) (system, error) {
	return &resolverFiles{journal: journal}, nil
}

func (r *resolverFiles) mode() string { return modeResolverFiles }

func (r *resolverFiles) anyPort() bool { return true }

// disturbed never yields: nothing but people writes these files.
func (r *resolverFiles) disturbed() <-chan struct{} { return nil }

func (r *resolverFiles) apply(ctx context.Context, p plan) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.undo(ctx); err != nil {
		return "", err
	}
	r.ours = p.servers
	if err := r.makeFolder(ctx); err != nil {
		return "", err
	}
	id, err := r.journal.Record(ctx, flushKind.Name, struct{}{})
	if err != nil {
		return "", err
	}
	r.entries = append(r.entries, id)
	domains, note := p.first(maxResolverFiles)
	ids, err := replaceFiles(ctx, r.journal, planResolverFiles(p, domains))
	if err != nil {
		return "", err
	}
	r.entries = append(r.entries, ids...)
	return note, flush(ctx)
}

func (r *resolverFiles) makeFolder(ctx context.Context) error {
	if _, err := os.Stat(resolverFolder); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id, err := r.journal.Record(ctx, folderKind.Name, struct{}{})
	if err != nil {
		return err
	}
	r.entries = append(r.entries, id)
	return os.MkdirAll(resolverFolder, 0o755)
}

func (r *resolverFiles) undo(ctx context.Context) error {
	if err := r.journal.Undo(ctx, r.entries...); err != nil {
		return err
	}
	r.entries = nil
	return nil
}

func (r *resolverFiles) revert(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.undo(ctx)
}

// upstreams are the servers of the primary network, which the system writes down for such as we.
func (r *resolverFiles) upstreams() []netip.AddrPort {
	content, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return without(parseResolvConf(content).servers, r.ours)
}

// ask goes the way of every program: through the C library, which Go uses on this system.
func (r *resolverFiles) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

func (r *resolverFiles) close() error { return nil }

// flush makes the resolver forget what it has cached and read its files again.
func flush(ctx context.Context) error {
	for _, command := range [][]string{{"/usr/bin/dscacheutil", "-flushcache"}, {"/usr/bin/killall", "-HUP", "mDNSResponder"}} {
		output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("run %s: %w: %s", command[0], err, bytes.TrimSpace(output))
		}
	}
	return nil
}
