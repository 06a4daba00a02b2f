// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// Peer is a laptop as the data plane and cluster DNS need it.
type Peer struct {
	Name      string // of the Connection
	PublicKey [32]byte
	Pair
	Namespace string // where its unqualified names resolve
	Mappings  []Mapping
}

// Mapping shows the laptop a cluster range under other addresses of the same number.
type Mapping struct {
	Range, Mapped netip.Prefix
}

// maxPerUser bounds what one user can make the gateway hold. It leaves room for large teams that share one user.
const maxPerUser = 500

// lease is what a Connection holds: its slot in the pool and its key.
type lease struct {
	slot int
	key  [32]byte
	user string
}

// ledger keeps apart what Connections hold, so that no two have the same addresses or key. It can be built again from
// the Connections at any time. It is not safe for concurrent use.
type ledger struct {
	pool   Pool
	leases map[string]lease // by the Connection's name
}

// restoreLedger takes over what Connections hold by their status. Where two claim the same, who was served before goes
// before who was refused, and the older before the younger.
func restoreLedger(pool Pool, connections []v1alpha1.Connection) *ledger {
	l := &ledger{pool: pool, leases: make(map[string]lease)}
	sorted := slices.Clone(connections)
	slices.SortFunc(sorted, func(a, b v1alpha1.Connection) int {
		return cmp.Or(
			-compareBool(isServed(a), isServed(b)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name))
	})
	for _, connection := range sorted {
		if isServed(connection) {
			// Who can't be admitted now is told so when it is reconciled.
			_, _ = l.admit(connection.Name, connection.Spec, connection.Status)
		}
	}
	return l
}

// isServed reports whether a Connection's status says that its present spec is served.
func isServed(c v1alpha1.Connection) bool {
	served := c.Status.Phase == v1alpha1.ConnectionReady || c.Status.Phase == v1alpha1.ConnectionIdle
	return served && c.Status.ObservedGeneration == c.Generation
}

// admit gives a Connection what it needs, the same as before where that is possible. An error is a refusal, in words
// for the Connection's owner; the Connection then holds nothing.
func (l *ledger) admit(name string, spec v1alpha1.ConnectionSpec, status v1alpha1.ConnectionStatus) (Peer, error) {
	key, err := parseKey(spec.PublicKey)
	if err != nil {
		return l.refuse(name, err)
	}
	others := 0
	for other, held := range l.leases {
		if other != name && held.key == key {
			return l.refuse(name, errors.New("another Connection has this public key; disconnect and connect again to get a new one"))
		}
		if other != name && held.user == spec.User {
			others++
		}
	}
	if others >= maxPerUser {
		return l.refuse(name, fmt.Errorf("%s has %d connections already: disconnect some, or delete those that are idle", spec.User, others))
	}
	unavailable, err := parsePrefixes(spec.UnavailableRanges)
	if err != nil {
		return l.refuse(name, fmt.Errorf("unavailableRanges: %w", err))
	}
	mappings, err := l.parseMappings(spec.Mappings)
	if err != nil {
		return l.refuse(name, err)
	}
	for _, mapping := range mappings {
		unavailable = append(unavailable, mapping.Mapped)
	}
	slot, err := l.slot(name, status, unavailable)
	if err != nil {
		return l.refuse(name, fmt.Errorf("%w: the gateway's range %s is used up or in use on the laptop (chart value tunnel.ipv4Range)", err, l.pool.IPv4))
	}
	l.leases[name] = lease{slot: slot, key: key, user: spec.User}
	return Peer{Name: name, PublicKey: key, Pair: l.pool.Pair(slot), Namespace: spec.Namespace, Mappings: mappings}, nil
}

func (l *ledger) refuse(name string, why error) (Peer, error) {
	l.release(name)
	return Peer{}, why
}

// release takes back what a Connection held.
func (l *ledger) release(name string) { delete(l.leases, name) }

// slot returns the slot that the Connection has already, else the one that its status names, else a free one.
func (l *ledger) slot(name string, status v1alpha1.ConnectionStatus, unavailable []netip.Prefix) (int, error) {
	taken := l.takenSlots(name)
	if held, ok := l.leases[name]; ok && !l.pool.Clashes(held.slot, unavailable) {
		return held.slot, nil
	}
	if before, ok := l.pool.SlotOf(parseAddresses(status.Addresses)); ok && !taken(before) && !l.pool.Clashes(before, unavailable) {
		return before, nil
	}
	return l.pool.Choose(name, taken, unavailable)
}

// takenSlots answers which slots others than name hold.
func (l *ledger) takenSlots(name string) func(int) bool {
	slots := make(map[int]bool, len(l.leases))
	for other, held := range l.leases {
		if other != name {
			slots[held.slot] = true
		}
	}
	return func(slot int) bool { return slots[slot] }
}

// parseMappings checks what the API server's validation can't: that mapped ranges clash neither with one another nor
// with the tunnel's own addresses.
func (l *ledger) parseMappings(specs []v1alpha1.RangeMapping) ([]Mapping, error) {
	var mappings []Mapping
	for _, spec := range specs {
		real, err := netip.ParsePrefix(spec.Range)
		if err != nil {
			return nil, fmt.Errorf("mappings: %q is not a prefix such as 10.96.0.0/12", spec.Range)
		}
		mapped, err := netip.ParsePrefix(spec.Mapped)
		if err != nil {
			return nil, fmt.Errorf("mappings: %q is not a prefix such as 10.96.0.0/12", spec.Mapped)
		}
		real, mapped = real.Masked(), mapped.Masked()
		switch {
		case real.Bits() != mapped.Bits() || real.Addr().BitLen() != mapped.Addr().BitLen():
			return nil, fmt.Errorf("mappings: %s and %s are not of the same size", real, mapped)
		case !routable(mapped):
			return nil, fmt.Errorf("mappings: %s is not a range for ordinary addresses", mapped)
		case mapped.Overlaps(l.pool.IPv4) || mapped.Overlaps(l.pool.IPv6):
			return nil, fmt.Errorf("mappings: %s overlaps the tunnel's own addresses", mapped)
		}
		for _, other := range mappings {
			if other.Mapped.Overlaps(mapped) || other.Range.Overlaps(real) {
				return nil, fmt.Errorf("mappings: %s to %s overlaps %s to %s", real, mapped, other.Range, other.Mapped)
			}
		}
		mappings = append(mappings, Mapping{Range: real, Mapped: mapped})
	}
	return mappings, nil
}

func parseKey(text string) ([32]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != 32 {
		return [32]byte{}, errors.New("publicKey is not a WireGuard public key in base64")
	}
	return [32]byte(raw), nil
}

func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a prefix such as 10.0.0.0/8", text)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}

// parseAddresses returns the addresses that can be read, IPv4 first.
func parseAddresses(texts []string) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, address)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses
}
