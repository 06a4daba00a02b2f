// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"net/netip"
	"testing"
)

func testPool(t *testing.T, ipv4 string) Pool {
	t.Helper()
	pool, err := NewPool(netip.MustParsePrefix(ipv4), netip.MustParsePrefix("fd12:3456:789a::/64"))
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func TestNewPoolRefuses(t *testing.T) {
	good4, good6 := netip.MustParsePrefix("198.19.0.0/16"), netip.MustParsePrefix("fd00::/64")
	for name, ranges := range map[string][2]netip.Prefix{
		"no IPv4":       {{}, good6},
		"IPv6 as IPv4":  {good6, good6},
		"small IPv4":    {netip.MustParsePrefix("198.19.0.0/29"), good6},
		"large IPv4":    {netip.MustParsePrefix("128.0.0.0/7"), good6},
		"no IPv6":       {good4, {}},
		"IPv6 of a /48": {good4, netip.MustParsePrefix("fd00::/48")},
		"public IPv6":   {good4, netip.MustParsePrefix("2001:db8::/64")},
	} {
		if _, err := NewPool(ranges[0], ranges[1]); err == nil {
			t.Errorf("%s: %v is accepted", name, ranges)
		}
	}
}

func TestPairsAreDistinctAndFoundAgain(t *testing.T) {
	pool := testPool(t, "198.19.0.0/24")
	seen := map[netip.Addr]int{}
	for slot := 1; slot < pool.Slots(); slot++ {
		pair := pool.Pair(slot)
		for i, prefix := range []netip.Prefix{pool.IPv4, pool.IPv6} {
			for _, address := range []netip.Addr{pair.Gateway[i], pair.Laptop[i]} {
				if other, ok := seen[address]; ok || !prefix.Contains(address) {
					t.Fatalf("slot %d: %s is outside of %s or in slot %d too", slot, address, prefix, other)
				}
				seen[address] = slot
			}
		}
		if found, ok := pool.SlotOf(pair.Laptop); !ok || found != slot {
			t.Fatalf("SlotOf(%v) = %d, %v, want %d", pair.Laptop, found, ok, slot)
		}
		if _, ok := pool.SlotOf(pair.Gateway); ok {
			t.Fatalf("the gateway's addresses %v pass for a laptop's", pair.Gateway)
		}
	}
	for _, addresses := range [][]netip.Addr{nil, {netip.MustParseAddr("198.19.1.1")}, {netip.MustParseAddr("198.19.0.3")}, {pool.Pair(1).Laptop[0], pool.Pair(2).Laptop[1]}} {
		if slot, ok := pool.SlotOf(addresses); ok {
			t.Errorf("SlotOf(%v) = %d", addresses, slot)
		}
	}
}

func TestSlotsAreBounded(t *testing.T) {
	for text, want := range map[string]int{"198.19.0.0/28": 8, "198.19.0.0/16": 32768, "10.0.0.0/8": maxSlots} {
		if got := testPool(t, text).Slots(); got != want {
			t.Errorf("%s has %d slots, want %d", text, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	pool := testPool(t, "198.19.0.0/28") // slots 1 to 7
	none := func(int) bool { return false }
	first, err := pool.Choose("anna", none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := pool.Choose("anna", none, nil); again != first {
		t.Errorf("the same name gets slot %d, then %d", first, again)
	}
	if other, err := pool.Choose("anna", func(s int) bool { return s == first }, nil); err != nil || other == first {
		t.Errorf("slot %d, error %v although that is taken", other, err)
	}
	half := []netip.Prefix{netip.MustParsePrefix("198.19.0.0/29")}
	if slot, err := pool.Choose("anna", none, half); err != nil || slot < 4 {
		t.Errorf("slot %d, error %v, but %v is unavailable", slot, err, half)
	}
	all := []netip.Prefix{netip.MustParsePrefix("198.0.0.0/8")}
	if _, err := pool.Choose("anna", none, all); !errors.Is(err, ErrPoolExhausted) {
		t.Errorf("choose a slot of none: %v, want %v", err, ErrPoolExhausted)
	}
	if _, err := pool.Choose("anna", func(int) bool { return true }, nil); !errors.Is(err, ErrPoolExhausted) {
		t.Errorf("choose a slot of none: %v, want %v", err, ErrPoolExhausted)
	}
}

func TestUniqueLocalPrefix(t *testing.T) {
	one, other := UniqueLocalPrefix("a"), UniqueLocalPrefix("b")
	if one == other || one != UniqueLocalPrefix("a") {
		t.Errorf("%s and %s", one, other)
	}
	if _, err := NewPool(netip.MustParsePrefix("198.19.0.0/16"), one); err != nil {
		t.Error(err)
	}
}
