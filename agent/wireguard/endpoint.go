// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Carrier is the kind of way that datagrams take.
type Carrier uint8

const (
	NoCarrier Carrier = iota // nothing heard yet
	UDP
	Relay
)

// String is the name that people and the API know.
func (c Carrier) String() string {
	switch c {
	case UDP:
		return "udp"
	case Relay:
		return "relay"
	default:
		return ""
	}
}

// udpEndpoint is a laptop that is reached by UDP. It does not change, so that all datagrams of a laptop can share one.
type udpEndpoint struct{ address netip.AddrPort }

func (e *udpEndpoint) ClearSrc()           {}
func (e *udpEndpoint) SrcToString() string { return "" }
func (e *udpEndpoint) DstToString() string { return e.address.String() }
func (e *udpEndpoint) DstIP() netip.Addr   { return e.address.Addr() }
func (e *udpEndpoint) SrcIP() netip.Addr   { return netip.Addr{} }

// DstToBytes identifies the laptop where WireGuard computes cookies against floods.
func (e *udpEndpoint) DstToBytes() []byte {
	b, _ := e.address.MarshalBinary() // never fails
	return b
}

// relayEndpoint is the laptop's end of a relay stream, as WireGuard sees it.
type relayEndpoint struct {
	stream *stream
}

func (e *relayEndpoint) ClearSrc()           {}
func (e *relayEndpoint) SrcToString() string { return "" }
func (e *relayEndpoint) DstToString() string {
	return "relay/" + strconv.FormatUint(e.stream.id, 10)
}

// DstToBytes identifies the stream where WireGuard computes cookies against floods.
func (e *relayEndpoint) DstToBytes() []byte {
	return binary.BigEndian.AppendUint64([]byte("relay"), e.stream.id)
}

// DstIP is an address that stands for the stream where WireGuard limits handshakes per source: one of a prefix that is
// never routed (RFC 6666).
func (e *relayEndpoint) DstIP() netip.Addr {
	b := [16]byte{0: 0x01}
	binary.BigEndian.PutUint64(b[8:], e.stream.id)
	return netip.AddrFrom16(b)
}

func (e *relayEndpoint) SrcIP() netip.Addr { return netip.Addr{} }
