// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// resolvconfTool says which program of that name the machine has.
type resolvconfTool string

const (
	noResolvconf     resolvconfTool = ""
	debianResolvconf resolvconfTool = "debian"     // orders by interface name, tun first (interface-order(5))
	openresolv       resolvconfTool = "openresolv" // orders by metric, and knows an exclusive one (resolvconf(8))
)

// resolvconfRecord is the name under which our settings are filed. Debian's tool puts tun* before lasting interfaces.
const resolvconfRecord = "tun-fairlead.inet"

// resolvconfPaths are where the program is. No other path is searched: this runs as root.
var resolvconfPaths = []string{"/sbin/resolvconf", "/usr/sbin/resolvconf", "/usr/bin/resolvconf", "/bin/resolvconf"}

// resolvconfRecords are the folders with what each interface said: Debian's and openresolv's, of late and before.
var resolvconfRecords = []string{"/run/resolvconf/interface", "/run/resolvconf/interfaces", "/run/resolvconf/keys"}

// resolvconfKind takes our settings out again.
var resolvconfKind = restore.Kind{Name: "dns-resolvconf", Undo: func(ctx context.Context, data json.RawMessage) error {
	var tool resolvconfTool
	if err := json.Unmarshal(data, &tool); err != nil {
		return fmt.Errorf("read journal entry: %w", err)
	}
	if findResolvconf() == noResolvconf {
		return nil // removed meanwhile, and its settings with it
	}
	return runResolvconf(ctx, nil, resolvconfRemove(tool)...)
}}

// findResolvconf tells the programs of that name apart. systemd's, a link to resolvectl, counts as none: it needs
// systemd-resolved, which is told directly.
func findResolvconf() resolvconfTool {
	path := resolvconfPath()
	if path == "" {
		return noResolvconf
	}
	if target, err := filepath.EvalSymlinks(path); err != nil || strings.HasSuffix(target, "resolvectl") {
		return noResolvconf
	}
	content, err := os.ReadFile(path)
	switch {
	case err != nil:
		return noResolvconf
	case bytes.Contains(content, []byte("Roy Marples")):
		return openresolv
	default:
		return debianResolvconf
	}
}

func resolvconfPath() string {
	for _, path := range resolvconfPaths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func resolvconfAdd(tool resolvconfTool) []string {
	if tool == openresolv {
		return []string{"-m", "0", "-x", "-a", resolvconfRecord} // before all others, and alone
	}
	return []string{"-a", resolvconfRecord}
}

func resolvconfRemove(tool resolvconfTool) []string {
	if tool == openresolv {
		return []string{"-f", "-d", resolvconfRecord} // no error if it is not there
	}
	return []string{"-d", resolvconfRecord}
}

func runResolvconf(ctx context.Context, input []byte, args ...string) error {
	path := resolvconfPath()
	if path == "" {
		return fmt.Errorf("run resolvconf: %w", fs.ErrNotExist)
	}
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin = bytes.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("run resolvconf %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// resolvconf files our server with the program that writes /etc/resolv.conf. All questions of the machine then come
// here, and go on to the servers that other interfaces filed.
type resolvconf struct {
	tool    resolvconfTool
	journal *restore.Journal

	mu    sync.Mutex
	entry uint64
	ours  []netip.Addr
}

func newResolvconf(tool resolvconfTool, journal *restore.Journal) *resolvconf {
	return &resolvconf{tool: tool, journal: journal}
}

func (r *resolvconf) mode() string { return modeResolvconf }

func (r *resolvconf) anyPort() bool { return false }

// disturbed never yields: the program keeps our settings through changes of other interfaces.
func (r *resolvconf) disturbed() <-chan struct{} { return nil }

func (r *resolvconf) apply(ctx context.Context, p plan) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entry == 0 {
		id, err := r.journal.Record(ctx, resolvconfKind.Name, r.tool)
		if err != nil {
			return "", err
		}
		r.entry = id
	}
	r.ours = p.servers
	// The others' search domains too: where ours is filed alone, theirs would be gone.
	search := appendNew([]string{p.search}, filedByOthers().search)
	text := fmt.Sprintf("nameserver %s\nsearch %s\n", p.servers[0], strings.Join(search, " "))
	return "", runResolvconf(ctx, []byte(text), resolvconfAdd(r.tool)...)
}

func (r *resolvconf) revert(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entry == 0 {
		return nil
	}
	if err := r.journal.Undo(ctx, r.entry); err != nil {
		return err
	}
	r.entry = 0
	return nil
}

// upstreams are the servers that the other interfaces filed, in the order of the interfaces' names.
func (r *resolvconf) upstreams() []netip.AddrPort {
	r.mu.Lock()
	ours := r.ours
	r.mu.Unlock()
	return without(filedByOthers().servers, ours)
}

// filedByOthers is what the other interfaces filed, each thing once.
func filedByOthers() resolvConf {
	var all resolvConf
	for _, folder := range resolvconfRecords {
		records, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, record := range records {
			content, err := os.ReadFile(filepath.Join(folder, record.Name()))
			if record.Name() == resolvconfRecord || err != nil {
				continue
			}
			filed := parseResolvConf(content)
			all.servers = appendNew(all.servers, filed.servers)
			all.search = appendNew(all.search, filed.search)
		}
	}
	return all
}

func appendNew[T comparable](list, more []T) []T {
	for _, item := range more {
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

func (r *resolvconf) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	content, err := os.ReadFile(resolvConfPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return lookup(ctx, name, parseResolvConf(content).servers)
}

func (r *resolvconf) close() error { return nil }
