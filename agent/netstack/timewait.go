// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// giveWay lets a laptop open a connection from a port from which one to the same target has just ended. Where the target
// closed first, the wait that TCP asks for (TIME_WAIT) is ours, and the laptop may take its port again at once. A SYN
// ends that wait (RFC 1122, section 4.2.2.13); gVisor does so only for listening sockets, of which we have none, and would
// drop it without a word.
//
// The RFC wants to know an old SYN that comes late from a new one: none comes, because WireGuard takes no packet twice. The
// connection that waited goes on to hand its data to its target.
func (t *tcpFlows) giveWay(p *packet) {
	segment := p.payload()
	if len(segment) < header.TCPMinimumSize || segment[13]&byte(header.TCPFlagSyn|header.TCPFlagAck) != byte(header.TCPFlagSyn) {
		return
	}
	id := stack.TransportEndpointID{
		LocalAddress: toTCPIP(p.dst), LocalPort: binary.BigEndian.Uint16(segment[2:]),
		RemoteAddress: toTCPIP(p.src), RemotePort: binary.BigEndian.Uint16(segment),
	}
	protocol := header.IPv4ProtocolNumber
	if p.v6 {
		protocol = header.IPv6ProtocolNumber
	}
	ended, ok := t.s.stack.FindTransportEndpoint(protocol, tcp.ProtocolNumber, id, nicID).(*tcp.Endpoint)
	if !ok || ended.EndpointState() != tcp.StateTimeWait {
		return
	}
	// As what the forwarder makes was registered: for any interface, with no flags.
	t.s.stack.UnregisterTransportEndpoint([]tcpip.NetworkProtocolNumber{protocol}, tcp.ProtocolNumber, id, ended, ports.Flags{}, 0)
}
