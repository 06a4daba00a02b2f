// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
)

// maxSlots bounds how many pairs of addresses a pool gives, so that a large range does not make a long search.
const maxSlots = 1 << 15

// ErrPoolExhausted says that every pair of a pool is taken or in a range that the laptop can't use.
var ErrPoolExhausted = errors.New("no tunnel address is free that this laptop can use")

// Pool is where laptops and the gateway have their addresses inside the tunnel. A slot is a pair in each family: the
// even address is the gateway's, the odd one the laptop's. Slot 0 is never used.
type Pool struct {
	IPv4 netip.Prefix // at most a /28
	IPv6 netip.Prefix // a /64
}

// Pair is what one slot of a pool holds, IPv4 before IPv6.
type Pair struct {
	Gateway, Laptop []netip.Addr
}

// NewPool checks the ranges of a pool.
func NewPool(ipv4, ipv6 netip.Prefix) (Pool, error) {
	switch {
	case !ipv4.IsValid() || !ipv4.Addr().Is4() || ipv4.Bits() < 8 || ipv4.Bits() > 28:
		return Pool{}, fmt.Errorf("tunnel range %s is not an IPv4 prefix of /8 to /28", ipv4)
	case !ipv6.IsValid() || !ipv6.Addr().Is6() || ipv6.Bits() != 64:
		return Pool{}, fmt.Errorf("tunnel range %s is not an IPv6 /64", ipv6)
	case !ipv6.Addr().IsPrivate():
		return Pool{}, fmt.Errorf("tunnel range %s is not a unique local prefix (RFC 4193)", ipv6)
	}
	return Pool{IPv4: ipv4.Masked(), IPv6: ipv6.Masked()}, nil
}

// UniqueLocalPrefix derives a /64 for the tunnel from what identifies an installation: fd, 40 bits that are as good as
// random, subnet 0 (RFC 4193, section 3.2).
func UniqueLocalPrefix(identity string) netip.Prefix {
	sum := sha256.Sum256([]byte("fairlead tunnel " + identity))
	address := [16]byte{0: 0xfd}
	copy(address[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(address), 64)
}

// Slots is one more than the highest slot.
func (p Pool) Slots() int {
	return min(maxSlots, 1<<(31-p.IPv4.Bits()))
}

// Pair returns the addresses of a slot between 1 and Slots()-1.
func (p Pool) Pair(slot int) Pair {
	return Pair{
		Gateway: []netip.Addr{offset(p.IPv4, 2*slot), offset(p.IPv6, 2*slot)},
		Laptop:  []netip.Addr{offset(p.IPv4, 2*slot+1), offset(p.IPv6, 2*slot+1)},
	}
}

// SlotOf returns the slot whose laptop has all of addresses. It reports false when there is none in this pool.
func (p Pool) SlotOf(addresses []netip.Addr) (int, bool) {
	for _, address := range addresses {
		if !address.Is4() || !p.IPv4.Contains(address) {
			continue
		}
		base, own := p.IPv4.Addr().As4(), address.As4()
		distance := binary.BigEndian.Uint32(own[:]) - binary.BigEndian.Uint32(base[:])
		slot := int(distance / 2)
		if slot < 1 || slot >= p.Slots() || distance%2 != 1 {
			return 0, false
		}
		pair := p.Pair(slot)
		return slot, len(addresses) == 2 && addresses[0] == pair.Laptop[0] && addresses[1] == pair.Laptop[1]
	}
	return 0, false
}

// Choose returns a slot for who is called name: the same as before where it is free, so that a laptop that comes back
// tends to get its old addresses. taken says which slots others have; no address of the pair is in unavailable.
func (p Pool) Choose(name string, taken func(slot int) bool, unavailable []netip.Prefix) (int, error) {
	hash := fnv.New32a()
	hash.Write([]byte(name))
	usable := p.Slots() - 1
	first := int(hash.Sum32() % uint32(usable))
	for i := range usable {
		slot := 1 + (first+i)%usable
		if !taken(slot) && !p.Clashes(slot, unavailable) {
			return slot, nil
		}
	}
	return 0, ErrPoolExhausted
}

// Clashes reports whether an address of a slot is in one of prefixes.
func (p Pool) Clashes(slot int, prefixes []netip.Prefix) bool {
	pair := p.Pair(slot)
	for _, prefix := range prefixes {
		for family := range pair.Laptop {
			if prefix.Contains(pair.Laptop[family]) || prefix.Contains(pair.Gateway[family]) {
				return true
			}
		}
	}
	return false
}

// offset returns the n-th address after the first of a prefix. n must be less than 2^32 and stay inside the prefix.
func offset(prefix netip.Prefix, n int) netip.Addr {
	if prefix.Addr().Is4() {
		address := prefix.Addr().As4()
		binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(address[:])+uint32(n))
		return netip.AddrFrom4(address)
	}
	address := prefix.Addr().As16()
	binary.BigEndian.PutUint32(address[12:], binary.BigEndian.Uint32(address[12:])+uint32(n))
	return netip.AddrFrom16(address)
}
