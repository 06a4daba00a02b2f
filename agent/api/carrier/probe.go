// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/curve25519"
)

// A probe is a datagram beside WireGuard's own, on the same carrier and the same socket. The laptop sends requests;
// the gateway answers each with a reply of the same size on the way it came. A probe proves that the carrier lives,
// and, because of its padding, that datagrams of that size pass in both directions. It never moves WireGuard's idea
// of where the peer is, so a carrier can be tried while traffic stays on the other.
//
// Layout, big endian:
//
//	0  magic    4  0xFA 'F' 'L' version
//	4  kind     1  1 request, 2 reply
//	5  flags    1  in a reply, bit 0: no session, bit 1: elsewhere
//	6  size     2  of the whole datagram in bytes, padding included
//	8  tunnel   2  the MTU that the laptop uses inside the tunnel over this carrier, in bytes
//	10 hint     8  which laptop: PeerHint of its WireGuard public key
//	18 sequence 8  chosen by the laptop, returned as it is
//	26 mac      16 BLAKE2s-128 keyed with ProbeKey over everything else
//	42 padding     zeros up to size
const (
	// ProbeSize is the size of a probe without padding, in bytes.
	ProbeSize = 42

	probeMACOffset = 26
	probeMACSize   = 16
)

// probeMagic differs from every WireGuard message in its first byte: those are 1 to 4 (WireGuard paper, section 5.4).
var probeMagic = [4]byte{0xFA, 'F', 'L', 1}

// ProbeKind says which way a probe goes.
type ProbeKind uint8

const (
	ProbeRequest ProbeKind = 1 // laptop to gateway
	ProbeReply   ProbeKind = 2 // gateway to laptop
)

// Probe is one probe, without its key. The zero value is not a valid probe: Kind must be set.
type Probe struct {
	Kind      ProbeKind
	Size      int     // of the whole datagram in bytes, ProbeSize to MaxDatagram; smaller means ProbeSize
	TunnelMTU int     // bytes; the laptop's MTU inside the tunnel over this carrier, 0 if it does not say
	Hint      [8]byte // PeerHint of the laptop's public key
	Sequence  uint64
	// NoSession, in a reply, says that the gateway has no WireGuard session with the laptop, as after a restart: it can't
	// send the laptop anything before the laptop has made a handshake.
	NoSession bool
	// Elsewhere, in a reply, says that the gateway sends to the laptop by another way than the one by which the probe came.
	// On the carrier in use that is a mistake: the datagram that should have moved the gateway was lost, or one that was
	// sent earlier by another carrier came after it. The next datagram of WireGuard puts it right.
	Elsewhere bool
}

const (
	flagNoSession = 1 << iota
	flagElsewhere
)

// ErrNotProbe says that a datagram is not a probe of this version. ErrProbeMAC says that it looks like one but was
// not made by who has the key: it must be dropped without an answer.
var (
	ErrNotProbe = errors.New("not a probe")
	ErrProbeMAC = errors.New("probe with a wrong authentication code")
)

// IsProbe reports whether a datagram belongs to this package rather than to WireGuard. It looks at the first bytes
// only and is cheap enough for every datagram received.
func IsProbe(datagram []byte) bool {
	return len(datagram) >= ProbeSize && [4]byte(datagram[:4]) == probeMagic
}

// PeerHint shortens a WireGuard public key to what a probe carries, so that the gateway finds the peer's ProbeKey.
func PeerHint(publicKey [32]byte) [8]byte {
	sum := blake2s.Sum256(publicKey[:])
	return [8]byte(sum[:8])
}

// ProbeKey derives the key that authenticates probes between two WireGuard peers, from one's private and the other's
// public key. Both sides get the same. It fails for a public key of low order.
func ProbeKey(private, public [32]byte) ([32]byte, error) {
	shared, err := curve25519.X25519(private[:], public[:])
	if err != nil {
		return [32]byte{}, fmt.Errorf("derive probe key: %w", err)
	}
	return blake2s.Sum256(append([]byte("fairlead probe v1"), shared...)), nil
}

// AppendProbe appends the probe to dst, authenticated with key and padded to its size, and returns the longer slice.
func AppendProbe(dst []byte, p Probe, key [32]byte) []byte {
	size := min(max(p.Size, ProbeSize), MaxDatagram)
	start := len(dst)
	dst = append(dst, probeMagic[:]...)
	var flags byte
	if p.NoSession {
		flags |= flagNoSession
	}
	if p.Elsewhere {
		flags |= flagElsewhere
	}
	dst = append(dst, byte(p.Kind), flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	dst = binary.BigEndian.AppendUint16(dst, uint16(min(max(p.TunnelMTU, 0), MaxDatagram)))
	dst = append(dst, p.Hint[:]...)
	dst = binary.BigEndian.AppendUint64(dst, p.Sequence)
	dst = append(dst, make([]byte, size-probeMACOffset)...)
	mac := probeMAC(dst[start:], key)
	copy(dst[start+probeMACOffset:], mac[:])
	return dst
}

// ReadProbeHint returns which laptop a probe claims to come from, before its key is known. The claim is worth nothing
// until ParseProbe has checked it.
func ReadProbeHint(datagram []byte) ([8]byte, error) {
	if !IsProbe(datagram) {
		return [8]byte{}, ErrNotProbe
	}
	return [8]byte(datagram[10:18]), nil
}

// ParseProbe checks a datagram against key and returns the probe that it is.
func ParseProbe(datagram []byte, key [32]byte) (Probe, error) {
	if !IsProbe(datagram) || int(binary.BigEndian.Uint16(datagram[6:])) != len(datagram) {
		return Probe{}, ErrNotProbe
	}
	kind := ProbeKind(datagram[4])
	if kind != ProbeRequest && kind != ProbeReply {
		return Probe{}, ErrNotProbe
	}
	want := probeMAC(datagram, key)
	if !hmac.Equal(want[:], datagram[probeMACOffset:probeMACOffset+probeMACSize]) {
		return Probe{}, ErrProbeMAC
	}
	return Probe{
		Kind:      kind,
		Size:      len(datagram),
		TunnelMTU: int(binary.BigEndian.Uint16(datagram[8:])),
		Hint:      [8]byte(datagram[10:18]),
		Sequence:  binary.BigEndian.Uint64(datagram[18:]),
		NoSession: datagram[5]&flagNoSession != 0,
		Elsewhere: datagram[5]&flagElsewhere != 0,
	}, nil
}

// probeMAC authenticates all of a probe but the field that holds the code itself.
func probeMAC(datagram []byte, key [32]byte) [probeMACSize]byte {
	h, err := blake2s.New128(key[:])
	if err != nil { // only for keys over 32 bytes
		panic(err)
	}
	h.Write(datagram[:probeMACOffset])
	h.Write(datagram[probeMACOffset+probeMACSize:])
	return [probeMACSize]byte(h.Sum(nil))
}
