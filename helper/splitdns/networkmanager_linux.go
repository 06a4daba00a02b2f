// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// nmReloadDNS makes NetworkManager restart its DNS plugin (D-Bus API, NMManagerReloadFlags).
const nmReloadDNS = uint32(0x4)

// nmReloadKind makes NetworkManager's dnsmasq read its files again. It is recorded before the file, and so undone
// after it.
var nmReloadKind = restore.Kind{Name: "dns-networkmanager-reload", Undo: func(ctx context.Context, _ json.RawMessage) error {
	err := reloadNetworkManager(ctx)
	if known, ok := errors.AsType[dbus.Error](err); ok && strings.HasSuffix(known.Name, ".ServiceUnknown") {
		return nil // it is not running, and reads its files when it starts
	}
	return err
}}

// planDnsmasq is a file for NetworkManager's dnsmasq (dnsmasq(8)): its domains, and names without a dot, are asked of
// the plan's servers.
func planDnsmasq(p plan) []byte {
	var b strings.Builder
	b.WriteString(fileMark + "\n")
	for _, server := range p.servers {
		target := server.String()
		if p.port != dnsPort {
			target += fmt.Sprintf("#%d", p.port)
		}
		fmt.Fprintf(&b, "server=//%s\n", target) // names without a dot
		for _, domain := range p.domains {
			fmt.Fprintf(&b, "server=/%s/%s\n", domain, target)
			if strings.HasSuffix(domain, ".arpa") {
				continue
			}
			fmt.Fprintf(&b, "rebind-domain-ok=/%s/\n", domain) // private addresses are what is wanted here
		}
	}
	return []byte(b.String())
}

// networkManager gives a file to the dnsmasq that NetworkManager runs.
type networkManager struct {
	journal *restore.Journal

	mu      sync.Mutex
	entries []uint64
	ours    []netip.Addr
}

func newNetworkManager(journal *restore.Journal) *networkManager {
	return &networkManager{journal: journal}
}

func (n *networkManager) mode() string { return modeNetworkManager }

func (n *networkManager) anyPort() bool { return true }

// disturbed never yields: the file is read again by every dnsmasq that NetworkManager starts.
func (n *networkManager) disturbed() <-chan struct{} { return nil }

func (n *networkManager) apply(ctx context.Context, p plan) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.undo(ctx); err != nil {
		return "", err
	}
	if err := os.MkdirAll(nmDnsmasqFolder, 0o755); err != nil {
		return "", err
	}
	reload, err := n.journal.Record(ctx, nmReloadKind.Name, struct{}{})
	if err != nil {
		return "", err
	}
	n.entries = []uint64{reload}
	file, err := replaceFile(ctx, n.journal, nmDnsmasqFile, planDnsmasq(p))
	if err != nil {
		return "", err
	}
	n.entries, n.ours = append(n.entries, file), p.servers
	return "", reloadNetworkManager(ctx)
}

func (n *networkManager) undo(ctx context.Context) error {
	if err := n.journal.Undo(ctx, n.entries...); err != nil {
		return err
	}
	n.entries = nil
	return nil
}

func (n *networkManager) revert(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.undo(ctx)
}

func (n *networkManager) upstreams() []netip.AddrPort {
	content, err := os.ReadFile(nmUplink)
	if err != nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return without(parseResolvConf(content).servers, n.ours)
}

func (n *networkManager) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	content, err := os.ReadFile(resolvConfPath)
	if err != nil {
		return nil, err
	}
	return lookup(ctx, name, parseResolvConf(content).servers)
}

func (n *networkManager) close() error { return nil }

func reloadNetworkManager(ctx context.Context) error {
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("connect to the system bus: %w", err)
	}
	err = bus.Object(nmBusName, "/org/freedesktop/NetworkManager").CallWithContext(ctx, nmBusName+".Reload", 0, nmReloadDNS).Err
	if err != nil {
		err = fmt.Errorf("make NetworkManager reload its name server: %w", err)
	}
	return errors.Join(err, bus.Close())
}
