// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// portAttempts bounds the search for a port that is free for both UDP and TCP.
const portAttempts = 8

// listener serves a resolver on one or more addresses.
type listener struct {
	addresses []netip.Addr // those that could be bound
	port      uint16
	servers   []*dns.Server
	serving   sync.WaitGroup
}

// listen binds the addresses on port 53, or, where that is taken and anyPort is true, on another. Addresses that the
// machine does not have, such as IPv6 ones where that is off, are left out as long as one remains.
func listen(addresses []netip.Addr, anyPort bool, r *resolver) (*listener, error) {
	l, err := listenOn(addresses, dnsPort, r)
	if err != nil && anyPort && (errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)) {
		l, err = listenOnFree(addresses, r)
		if err == nil {
			return l, nil
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port 53 is taken by a program that listens on all addresses of this machine: %w", err)
	}
	return l, err
}

// listenOnFree binds a port that is free on all the addresses, for UDP and TCP. The kernel knows such a port only for the
// first socket; another program may have it for the next, and then a new search begins.
func listenOnFree(addresses []netip.Addr, r *resolver) (l *listener, err error) {
	for range portAttempts {
		if l, err = listenOn(addresses, 0, r); !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, err
}

// listenOn binds one port, or a free one for 0, on the addresses.
func listenOn(addresses []netip.Addr, port uint16, r *resolver) (*listener, error) {
	l := &listener{port: port}
	var errs []error
	for _, address := range addresses {
		err := l.bind(address, r)
		if err == nil {
			l.addresses = append(l.addresses, address)
			continue
		}
		errs = append(errs, err)
		if !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAFNOSUPPORT) {
			return nil, errors.Join(err, l.close())
		}
	}
	if len(l.addresses) == 0 {
		return nil, errors.Join(errs...)
	}
	return l, nil
}

// bind opens UDP and TCP on one address and serves both.
func (l *listener) bind(address netip.Addr, r *resolver) error {
	packet, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, l.port)))
	if err != nil {
		return fmt.Errorf("listen for names: %w", err)
	}
	port := packet.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	stream, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, port)))
	if err != nil {
		return errors.Join(fmt.Errorf("listen for names: %w", err), packet.Close())
	}
	l.port = port
	handler := &handler{resolver: r, trusts: newTrust(), slots: make(chan struct{}, maxAnswering)}
	l.serve(&dns.Server{PacketConn: packet, Handler: handler, UDPSize: maxQuestion})
	l.serve(&dns.Server{Listener: stream, Handler: handler, MaxTCPQueries: 128, IdleTimeout: func() time.Duration { return 10 * time.Second }})
	return nil
}

func (l *listener) serve(server *dns.Server) {
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	l.servers = append(l.servers, server)
	l.serving.Go(func() {
		// It ends by close; a socket that fails on its own shows in the checks.
		_ = server.ActivateAndServe()
	})
	<-started // only a server that has started can be shut down
}

// close ends the servers without waiting for answers under way.
func (l *listener) close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var errs []error
	for _, server := range l.servers {
		if err := server.ShutdownContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	l.serving.Wait()
	return errors.Join(errs...)
}

// handler adapts a resolver to the DNS library.
type handler struct {
	resolver *resolver
	trusts   *trust
	slots    chan struct{} // one for each question that waits for its answer
}

const (
	maxAnswering = 1024 // questions that wait for an answer at a time
	maxQuestion  = 4096 // bytes of a question over UDP: padded ones are larger than the answers asked for
)

// ServeDNS answers one question.
func (h *handler) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := failure(request, dns.RcodeRefused)
	if h.trusts.allows(remoteAddress(w.RemoteAddr())) {
		select {
		case h.slots <- struct{}{}:
			reply = h.resolver.answer(context.Background(), request)
			<-h.slots
		default:
		}
	}
	if _, datagram := w.RemoteAddr().(*net.UDPAddr); datagram {
		reply.Truncate(datagramSize(request))
	}
	// A client that is gone gets no answer; there is nobody else to tell.
	_ = w.WriteMsg(reply)
}

// datagramSize is the size of an answer that the client can take (RFC 6891).
func datagramSize(request *dns.Msg) int {
	if opt := request.IsEdns0(); opt != nil {
		return max(int(opt.UDPSize()), dns.MinMsgSize)
	}
	return dns.MinMsgSize
}

func remoteAddress(a net.Addr) netip.Addr {
	var address netip.Addr
	switch a := a.(type) {
	case *net.UDPAddr:
		address = a.AddrPort().Addr()
	case *net.TCPAddr:
		address = a.AddrPort().Addr()
	}
	return address.Unmap().WithZone("")
}

// trust decides who may ask: programs on this machine, and containers and virtual machines on its bridges, which
// often use the machine's name servers. Not the network around: the cluster's names are not its business.
type trust struct {
	mu     sync.Mutex
	until  time.Time
	ranges []netip.Prefix
}

// trustTTL is how long the machine's addresses are remembered.
const trustTTL = 5 * time.Second

func newTrust() *trust { return &trust{} }

func (t *trust) allows(address netip.Addr) bool {
	if address.IsLoopback() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.After(t.until) {
		t.until = now.Add(trustTTL)
		t.ranges = trustedRanges(machineInterfaces())
	}
	for _, r := range t.ranges {
		if r.Contains(address) {
			return true
		}
	}
	return false
}

// machineInterface is an interface and its addresses.
type machineInterface struct {
	name     string
	prefixes []netip.Prefix // its addresses with the length of their network
}

// bridgePrefixes begin the names of interfaces behind which are only this machine's own guests.
var bridgePrefixes = []string{"docker", "br-", "virbr", "cni", "podman", "lxc", "lxdbr", "incusbr", "kind", "vmnet", "vEthernet", "bridge1"}

func trustedRanges(interfaces []machineInterface) []netip.Prefix {
	var ranges []netip.Prefix
	for _, i := range interfaces {
		guests := false
		for _, prefix := range bridgePrefixes {
			guests = guests || strings.HasPrefix(i.name, prefix)
		}
		for _, p := range i.prefixes {
			if guests {
				ranges = append(ranges, p.Masked())
			} else {
				ranges = append(ranges, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
			}
		}
	}
	return ranges
}

func machineInterfaces() []machineInterface {
	all, err := net.Interfaces()
	if err != nil {
		return nil // nobody but loopback is trusted then
	}
	var found []machineInterface
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		m := machineInterface{name: i.Name}
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok {
				address, ok := netip.AddrFromSlice(network.IP)
				bits, size := network.Mask.Size()
				if address = address.Unmap(); ok && size == address.BitLen() {
					m.prefixes = append(m.prefixes, netip.PrefixFrom(address, bits))
				}
			}
		}
		found = append(found, m)
	}
	return found
}
