// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"net/netip"
)

// Mapping shows the cluster's prefix Real to a laptop as Mapped, address by address. Both have the same size.
type Mapping struct {
	Real   netip.Prefix
	Mapped netip.Prefix
}

// Mappings translate addresses between a laptop and the cluster. The zero value changes nothing.
type Mappings []Mapping

// Validate reports what is wrong with a set of mappings: unequal sizes or families, or overlaps that would make an
// address ambiguous.
func (m Mappings) Validate() error {
	for i, a := range m {
		if !a.Real.IsValid() || !a.Mapped.IsValid() {
			return fmt.Errorf("mapping %d: not a prefix", i)
		}
		if a.Real.Bits() != a.Mapped.Bits() || a.Real.Addr().Is4() != a.Mapped.Addr().Is4() {
			return fmt.Errorf("mapping %s to %s: not of the same family and size", a.Real, a.Mapped)
		}
		for _, b := range m[:i] {
			if a.Real.Overlaps(b.Real) || a.Mapped.Overlaps(b.Mapped) {
				return fmt.Errorf("mapping %s to %s overlaps mapping %s to %s", a.Real, a.Mapped, b.Real, b.Mapped)
			}
		}
	}
	return nil
}

// ToReal translates an address that a laptop uses into the cluster's.
func (m Mappings) ToReal(a netip.Addr) netip.Addr {
	for _, entry := range m {
		if entry.Mapped.Contains(a) {
			return transplant(a, entry.Real)
		}
	}
	return a
}

// ToMapped translates an address of the cluster into the one that a laptop uses.
func (m Mappings) ToMapped(a netip.Addr) netip.Addr {
	for _, entry := range m {
		if entry.Real.Contains(a) {
			return transplant(a, entry.Mapped)
		}
	}
	return a
}

// transplant keeps the host bits of a and takes the network bits from prefix.
func transplant(a netip.Addr, prefix netip.Prefix) netip.Addr {
	host, network := a.AsSlice(), prefix.Masked().Addr().AsSlice()
	bits := prefix.Bits()
	for i := range host {
		keep := min(max(bits-8*i, 0), 8) // network bits in this byte
		mask := byte(0xff) << (8 - keep)
		host[i] = host[i]&^mask | network[i]&mask
	}
	out, _ := netip.AddrFromSlice(host)
	return out
}
