// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	gvisorlog "gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nicID = 1

// Dialer opens sockets towards the cluster. *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// DNSHandler answers a DNS message that the laptop sent to its gateway address, port 53. It returns nil to give no
// answer. It must obey ctx, and is called from many goroutines at once.
type DNSHandler func(ctx context.Context, query []byte, tcp bool) []byte

// Config is what a Stack is made of.
type Config struct {
	Laptop   []netip.Addr // addresses of the laptop in the tunnel
	Gateway  []netip.Addr // our addresses in the tunnel, as this laptop sees them
	Mappings Mappings

	Dialer Dialer                 // towards the cluster; nil means net.Dialer
	Echo   EchoDialer             // for pings; nil means unprivileged ICMP sockets
	DNS    DNSHandler             // nil: port 53 of the gateway address is closed
	Refuse func(netip.Addr) error // nil, or why the laptop may not reach an address of the cluster

	Limits Limits
	Budget *Budget // of received data, shared with other stacks; nil means none
	Log    *slog.Logger

	// Output is called, from any goroutine, when there is something to Collect again after there was not.
	Output func()
}

// Stack is the TCP/IP stack of one peer. Deliver must not be called by two goroutines at once, nor Collect; apart from
// that all methods are safe for concurrent use.
type Stack struct {
	config   Config
	limits   Limits
	budget   *Budget
	log      *slog.Logger
	mappings atomic.Pointer[Mappings]
	stack    *stack.Stack
	link     *link
	merger   merger
	cutter   cutter
	ids      atomic.Uint32 // IP identification of what we make or fragment
	ctx      context.Context
	cancel   context.CancelFunc

	tcp  tcpFlows
	udp  udpFlows
	echo echoFlows
	dns  chan struct{} // one token per question being answered

	counters counters
	buffered atomic.Int64 // received TCP data that waits for its target
	closing  sync.Once
}

// counters are what Stats reports.
type counters struct {
	malformed, refused, noRoom, refusedFlows atomic.Uint64
	tcpOpened, udpOpened, echoOpened         atomic.Uint64
}

// Stats are figures of a stack since it was made, and how much it holds now.
type Stats struct {
	TCPFlows, UDPFlows, EchoFlows    int
	TCPOpened, UDPOpened, EchoOpened uint64
	Malformed                        uint64 // packets that were not sound IP, TCP or UDP
	Refused                          uint64 // packets to addresses that a laptop may not reach
	RefusedFlows                     uint64 // connections refused because there were too many
	NoRoom                           uint64 // packets dropped because a buffer was full
	BufferedBytes                    int64  // received data that waits for its target
}

// New makes the stack of a peer. It fails for addresses that make no sense.
func New(config Config) (*Stack, error) {
	if err := config.Mappings.Validate(); err != nil {
		return nil, fmt.Errorf("validate mappings: %w", err)
	}
	if len(config.Laptop) == 0 {
		return nil, errors.New("a peer needs at least one address")
	}
	if config.Dialer == nil {
		config.Dialer = &net.Dialer{}
	}
	if config.Echo == nil {
		config.Echo = DialEcho
	}
	if config.Refuse == nil {
		config.Refuse = func(netip.Addr) error { return nil }
	}
	if config.Output == nil {
		config.Output = func() {}
	}
	s := &Stack{
		config: config,
		limits: config.Limits.withDefaults(),
		budget: config.Budget,
		log:    config.Log,
		link:   newLink(config.Output),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.budget == nil {
		s.budget = &Budget{}
	}
	s.mappings.Store(&config.Mappings)
	s.merger = merger{emit: s.deliverTCP}
	s.dns = make(chan struct{}, s.limits.DNSQueries)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.build(); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// quiet keeps gVisor's own log, which goes to standard error, to itself: what matters is counted or returned.
var quiet = sync.OnceFunc(func() { gvisorlog.SetTarget(gvisorlog.GoogleEmitter{Writer: &gvisorlog.Writer{Next: io.Discard}}) })

// build sets gVisor's stack up: promiscuous, because it stands for every address of the cluster.
func (s *Stack) build() error {
	quiet()
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := s.setOptions(); err != nil {
		return err
	}
	if err := s.stack.CreateNIC(nicID, s.link); err != nil {
		return fmt.Errorf("create network interface: %s", err)
	}
	if err := s.stack.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("set promiscuous mode: %s", err)
	}
	if err := s.stack.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("allow foreign source addresses: %s", err)
	}
	for _, a := range s.config.Gateway {
		protocol := header.IPv4ProtocolNumber
		if a.Is6() {
			protocol = header.IPv6ProtocolNumber
		}
		address := tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: toTCPIP(a).WithPrefix()}
		if err := s.stack.AddProtocolAddress(nicID, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add address %s: %s", a, err)
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	s.tcp.install(s)
	s.udp.install(s)
	s.echo.install(s)
	return nil
}

// setOptions tunes TCP for a path that may lose packets, sleep for minutes and come back.
func (s *Stack) setOptions() error {
	var (
		sack     = tcpip.TCPSACKEnabled(true)
		recovery = tcpip.TCPRACKLossDetection
		moderate = tcpip.TCPModerateReceiveBufferOption(true)
		receive  = tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: receiveBufferDefault, Max: receiveBufferMax}
		send     = tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: sendBufferDefault, Max: sendBufferMax}
		timeWait = tcpip.TCPTimeWaitTimeoutOption(timeWaitLimit)
		rto      = tcpip.TCPMaxRTOOption(maxRTO)
		retries  = tcpip.TCPMaxRetriesOption(maxRetransmits)
	)
	for _, option := range []tcpip.SettableTransportProtocolOption{
		&sack, &recovery, &moderate, &receive, &send, &timeWait, &rto, &retries,
	} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("set TCP option %T: %s", option, err)
		}
	}
	ttl := tcpip.DefaultTTLOption(64)
	for _, protocol := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		if err := s.stack.SetNetworkProtocolOption(protocol, &ttl); err != nil {
			return fmt.Errorf("set time to live: %s", err)
		}
	}
	return nil
}

// SetMappings replaces the address translation. Open flows go on as they are.
func (s *Stack) SetMappings(m Mappings) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("validate mappings: %w", err)
	}
	s.mappings.Store(&m)
	return nil
}

// Stats returns the stack's figures.
func (s *Stack) Stats() Stats {
	c := &s.counters
	return Stats{
		TCPFlows: s.tcp.open(), UDPFlows: s.udp.open(), EchoFlows: s.echo.open(),
		TCPOpened: c.tcpOpened.Load(), UDPOpened: c.udpOpened.Load(), EchoOpened: c.echoOpened.Load(),
		Malformed: c.malformed.Load(), Refused: c.refused.Load(),
		RefusedFlows: c.refusedFlows.Load(), NoRoom: c.noRoom.Load(),
		BufferedBytes: s.buffered.Load(),
	}
}

// Shutdown resets every connection, so that the laptop learns at once that it is gone. What is to be sent for that is
// there to Collect when Shutdown returns.
func (s *Stack) Shutdown() {
	s.cancel()
	s.tcp.abortAll()
}

// Close ends all flows and frees everything. Nothing may be collected afterwards.
func (s *Stack) Close() {
	s.closing.Do(func() {
		s.Shutdown()
		s.udp.closeAll()
		s.echo.closeAll()
		s.link.Close()
		s.stack.Close()
		s.stack.RemoveNIC(nicID)
	})
}
