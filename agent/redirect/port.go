// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"net/netip"
)

// Protocol is TCP or UDP.
type Protocol string

// The protocols that have ports to redirect.
const (
	TCP Protocol = "TCP"
	UDP Protocol = "UDP"
)

// Families are IP families. The zero value is none.
type Families struct {
	IPv4, IPv6 bool
}

// Any reports whether there is one.
func (f Families) Any() bool { return f.IPv4 || f.IPv6 }

func (f Families) or(g Families) Families { return Families{f.IPv4 || g.IPv4, f.IPv6 || g.IPv6} }

// Port is a port of the app whose new connections or datagrams the sidecar is to have, in the families where the app has it
// open: in the others callers are refused as before.
type Port struct {
	Protocol Protocol
	Number   uint16
	Families Families
}

// String is what people read, such as 8080/TCP.
func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// keys of the port in the program's map.
func (p Port) keys() []uint32 {
	protocol := uint32(protocolTCP)
	if p.Protocol == UDP {
		protocol = protocolUDP
	}
	var keys []uint32
	if p.Families.IPv4 {
		keys = append(keys, key(protocol, familyIPv4, p.Number))
	}
	if p.Families.IPv6 {
		keys = append(keys, key(protocol, familyIPv6, p.Number))
	}
	return keys
}

// familiesOf says which callers a socket bound to the address hears. An IPv6 socket bound to no address hears both, as long
// as it was not told otherwise, which few do. One bound to loopback hears none from outside; the sidecar reaches it for all.
func familiesOf(bound netip.Addr) Families {
	switch {
	case bound.IsLoopback(), bound == netip.IPv6Unspecified():
		return Families{true, true}
	case bound.Unmap().Is4():
		return Families{IPv4: true}
	default:
		return Families{IPv6: true}
	}
}
