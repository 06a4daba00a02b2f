// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/curve25519"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

func key(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

func TestProbeRoundTrip(t *testing.T) {
	for _, size := range []int{0, ProbeSize, 1400, MaxDatagram} {
		want := Probe{Kind: ProbeRequest, Size: max(size, ProbeSize), TunnelMTU: 1424, Hint: PeerHint(key(3)), Sequence: 1 << 60, NoSession: size == 1400, Elsewhere: size != 0}
		sent := want
		sent.Size = size
		b := AppendProbe([]byte("before"), sent, key(1))
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal("AppendProbe changed what was there")
		}
		b = b[len("before"):]
		if len(b) != want.Size || !IsProbe(b) {
			t.Fatalf("probe of %d bytes, want %d", len(b), want.Size)
		}
		got, err := ParseProbe(b, key(1))
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if hint, err := ReadProbeHint(b); err != nil || hint != want.Hint {
			t.Errorf("hint %x, %v", hint, err)
		}
	}
}

// The bytes on the wire are a contract between versions.
func TestProbeOnTheWire(t *testing.T) {
	b := AppendProbe(nil, Probe{Kind: ProbeReply, Size: 64, TunnelMTU: 1280, Hint: PeerHint(key(7)), Sequence: 0x0102030405060708}, key(9))
	golden.Compare(t, filepath.Join("testdata", "probe.golden"), hex.Dump(b))
}

// Both ends derive the same key, each from its private and the other's public key.
func TestProbeKeyIsShared(t *testing.T) {
	alice, bob := key(0x41), key(0x42)
	one, err := ProbeKey(alice, publicOf(t, bob))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ProbeKey(bob, publicOf(t, alice))
	if err != nil {
		t.Fatal(err)
	}
	if one != other {
		t.Error("the two ends have different keys")
	}
	if _, err := ProbeKey(alice, [32]byte{}); err == nil {
		t.Error("a public key of low order was accepted")
	}
}

func publicOf(t *testing.T, private [32]byte) [32]byte {
	t.Helper()
	public, err := curve25519.X25519(private[:], curve25519.Basepoint)
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(public)
}

func TestParseProbeRefuses(t *testing.T) {
	good := AppendProbe(nil, Probe{Kind: ProbeRequest, Size: 100, Sequence: 1}, key(1))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	tests := map[string]struct {
		datagram []byte
		want     error
	}{
		"empty":               {nil, ErrNotProbe},
		"short":               {good[:ProbeSize-1], ErrNotProbe},
		"cut":                 {good[:99], ErrNotProbe},
		"longer than said":    {append(bytes.Clone(good), 0), ErrNotProbe},
		"WireGuard data":      {change(0, 4), ErrNotProbe},
		"another version":     {change(3, 2), ErrNotProbe},
		"unknown kind":        {change(4, 3), ErrNotProbe},
		"flags":               {change(5, 1), ErrProbeMAC},
		"MTU":                 {change(8, 0xff), ErrProbeMAC},
		"sequence":            {change(25, 9), ErrProbeMAC},
		"mac":                 {change(30, good[30]^1), ErrProbeMAC},
		"padding":             {change(99, 1), ErrProbeMAC},
		"made with other key": {AppendProbe(nil, Probe{Kind: ProbeRequest}, key(2)), ErrProbeMAC},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseProbe(test.datagram, key(1)); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// No WireGuard message is taken for a probe.
func TestIsProbeLeavesWireGuardAlone(t *testing.T) {
	for kind := byte(1); kind <= 4; kind++ {
		b := make([]byte, 148)
		b[0] = kind
		copy(b[1:], "FL\x01")
		if IsProbe(b) {
			t.Errorf("message of type %d looks like a probe", kind)
		}
	}
}

// Whatever comes in, parsing does not panic, and what it accepts is exactly what AppendProbe makes.
func FuzzParseProbe(f *testing.F) {
	f.Add(AppendProbe(nil, Probe{Kind: ProbeRequest, Size: 64, Sequence: 1}, key(1)))
	f.Add(AppendProbe(nil, Probe{Kind: ProbeReply, TunnelMTU: 1280}, key(1)))
	f.Add([]byte("\xfaFL\x01"))
	f.Add([]byte(strings.Repeat("\xfaFL\x01", 20)))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p, err := ParseProbe(datagram, key(1))
		if err != nil {
			return
		}
		if !bytes.Equal(AppendProbe(nil, p, key(1)), datagram) {
			t.Errorf("%x parses to %+v, which is written otherwise", datagram, p)
		}
	})
}
