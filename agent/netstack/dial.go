// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// laptopConn is a TCP connection that we opened to the laptop.
type laptopConn struct {
	*gonet.TCPConn
	ep tcpip.Endpoint
}

// SetLinger is as that of net.TCPConn: with 0, Close resets the connection.
func (c *laptopConn) SetLinger(seconds int) error {
	c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: seconds == 0})
	return nil
}

// DialTCP opens a connection to the laptop through the tunnel, from our address in it. The connection has CloseWrite and
// SetLinger as a net.TCPConn, and notices by itself a laptop that is gone.
func (s *Stack) DialTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	protocol, local := header.IPv4ProtocolNumber, tcpip.FullAddress{NIC: nicID}
	if address.Addr().Is6() {
		protocol = header.IPv6ProtocolNumber
	}
	for _, a := range s.config.Gateway {
		if a.Is4() == address.Addr().Is4() {
			local.Addr = toTCPIP(a)
		}
	}
	conn, err := s.connect(ctx, protocol, local, tcpip.FullAddress{NIC: nicID, Addr: toTCPIP(address.Addr()), Port: address.Port()})
	if err != nil {
		return nil, fmt.Errorf("connect to laptop at %s: %w", address, err)
	}
	return conn, nil
}

func (s *Stack) connect(ctx context.Context, protocol tcpip.NetworkProtocolNumber, local, remote tcpip.FullAddress) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wq := new(waiter.Queue)
	ep, failed := s.stack.NewEndpoint(tcp.ProtocolNumber, protocol, wq)
	if failed != nil {
		return nil, errors.New(failed.String())
	}
	setTCPOptions(ep)
	ep.SocketOptions().SetDelayOption(false)
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	failed = ep.Bind(local)
	if failed == nil {
		failed = ep.Connect(remote)
	}
	if _, started := failed.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			ep.Abort()
			return nil, ctx.Err()
		case <-connected:
		}
		failed = ep.LastError()
	}
	if failed != nil {
		ep.Close()
		return nil, errors.New(failed.String())
	}
	return &laptopConn{TCPConn: gonet.NewTCPConn(wq, ep), ep: ep}, nil
}
