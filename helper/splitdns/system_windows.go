// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// nrptKind removes all rules of ours, wherever they are, and the search domain of the tunnel's adapter, which the
// entry names by its GUID: the system may keep an adapter's settings for the next time.
var nrptKind = restore.Kind{Name: "dns-nrpt", Persistent: true, Undo: func(_ context.Context, data json.RawMessage) error {
	var adapter string
	if err := json.Unmarshal(data, &adapter); err != nil {
		return fmt.Errorf("read journal entry: %w", err)
	}
	return errors.Join(removeRules(nrptLocal), removeRules(nrptPolicy), removeSearch(adapter), flushCache())
}}

// Kinds are the changes to name resolution that the journal may hold.
func Kinds() []restore.Kind { return []restore.Kind{nrptKind} }

var flushResolverCache = windows.NewLazySystemDLL("dnsapi.dll").NewProc("DnsFlushResolverCache")

// nrpt writes rules to the name resolution policy table. The search domain is a setting of the tunnel's interface and
// goes with it.
type nrpt struct {
	journal *restore.Journal

	mu    sync.Mutex
	entry uint64
	ours  []netip.Addr
}

func detect(_ context.Context, journal *restore.Journal, _ *slog.Logger) (system, error) {
	return &nrpt{journal: journal}, nil
}

func (n *nrpt) mode() string { return modeNRPT }

func (n *nrpt) anyPort() bool { return false }

// disturbed never yields: rules stay until they are removed.
func (n *nrpt) disturbed() <-chan struct{} { return nil }

func (n *nrpt) apply(ctx context.Context, p plan) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	adapter, err := adapterOf(p.device)
	if err != nil {
		return "", err
	}
	if n.entry == 0 {
		id, err := n.journal.Record(ctx, nrptKind.Name, adapter)
		if err != nil {
			return "", err
		}
		n.entry = id
	} else if err := errors.Join(removeRules(nrptLocal), removeRules(nrptPolicy)); err != nil {
		return "", err
	}
	n.ours = p.servers
	values := append(planInterfaceSearch(adapter, p), planNRPT(nrptRoot(), p)...)
	for _, value := range values {
		if err := write(value); err != nil {
			return "", err
		}
	}
	return "", flushCache()
}

func (n *nrpt) revert(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.entry == 0 {
		return nil
	}
	if err := n.journal.Undo(ctx, n.entry); err != nil {
		return err
	}
	n.entry = 0
	return nil
}

// upstreams are the name servers of all other interfaces.
func (n *nrpt) upstreams() []netip.AddrPort {
	n.mu.Lock()
	ours := n.ours
	n.mu.Unlock()
	var found []netip.AddrPort
	// An error leaves what was found before it: nothing.
	_ = eachAdapter(func(a *windows.IpAdapterAddresses) {
		for server := a.FirstDnsServerAddress; server != nil; server = server.Next {
			address, ok := netip.AddrFromSlice(server.Address.IP())
			address = address.Unmap()
			// fec0:0:0:ffff::/64 are servers that exist on no network of today (RFC 3879).
			if !ok || netip.MustParsePrefix("fec0::/10").Contains(address) || slices.Contains(found, netip.AddrPortFrom(address, dnsPort)) {
				continue
			}
			found = append(found, netip.AddrPortFrom(address, dnsPort))
		}
	})
	return without(found, ours)
}

// ask goes the way of every program: through GetAddrInfo, which Go uses on this system.
func (n *nrpt) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

func (n *nrpt) close() error { return nil }

// nrptRoot is where rules have an effect.
func nrptRoot() string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, nrptPolicy, registry.ENUMERATE_SUB_KEYS)
	if err != nil {
		return nrptLocal
	}
	defer func() { _ = key.Close() }() // nothing was written through it
	if rules, err := key.ReadSubKeyNames(1); err != nil || len(rules) == 0 {
		return nrptLocal
	}
	return nrptPolicy
}

func write(value registryValue) error {
	key, _, err := registry.CreateKey(registry.LOCAL_MACHINE, value.key, registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf("open %s: %w", value.key, err)
	}
	switch {
	case value.list != nil:
		err = key.SetStringsValue(value.name, value.list)
	case value.text != "":
		err = key.SetStringValue(value.name, value.text)
	default:
		err = key.SetDWordValue(value.name, value.number)
	}
	if err = errors.Join(err, key.Close()); err != nil {
		return fmt.Errorf("set %s in %s: %w", value.name, value.key, err)
	}
	return nil
}

// removeRules removes all rules of ours below root.
func removeRules(root string) error {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, root, registry.ENUMERATE_SUB_KEYS)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", root, err)
	}
	names, err := key.ReadSubKeyNames(-1)
	errs := []error{err, key.Close()}
	for _, name := range names {
		if strings.HasPrefix(name, nrptPrefix) {
			errs = append(errs, registry.DeleteKey(registry.LOCAL_MACHINE, root+`\`+name))
		}
	}
	return errors.Join(errs...)
}

// removeSearch removes an adapter's search domain.
func removeSearch(adapter string) error {
	for _, value := range planInterfaceSearch(adapter, plan{}) {
		key, err := registry.OpenKey(registry.LOCAL_MACHINE, value.key, registry.SET_VALUE)
		if errors.Is(err, registry.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open %s: %w", value.key, err)
		}
		err = key.DeleteValue(value.name)
		if errors.Is(err, registry.ErrNotExist) {
			err = nil
		}
		if err = errors.Join(err, key.Close()); err != nil {
			return fmt.Errorf("delete %s in %s: %w", value.name, value.key, err)
		}
	}
	return nil
}

func flushCache() error {
	if ok, _, err := flushResolverCache.Call(); ok == 0 {
		return fmt.Errorf("flush the resolver's cache: %w", err)
	}
	return nil
}

// adapterOf returns the GUID of an interface by its name.
func adapterOf(device string) (string, error) {
	var guid string
	err := eachAdapter(func(a *windows.IpAdapterAddresses) {
		if windows.UTF16PtrToString(a.FriendlyName) == device {
			guid = windows.BytePtrToString(a.AdapterName)
		}
	})
	if err == nil && guid == "" {
		err = fmt.Errorf("there is no interface %s", device)
	}
	return guid, err
}

// eachAdapter calls f for each interface.
func eachAdapter(f func(*windows.IpAdapterAddresses)) error {
	size := uint32(16 << 10)
	for {
		buffer := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buffer[0]))
		err := windows.GetAdaptersAddresses(windows.AF_UNSPEC, 0, 0, first, &size)
		if errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list interfaces: %w", err)
		}
		for a := first; a != nil; a = a.Next {
			f(a)
		}
		return nil
	}
}
