// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// unreachableCluster is a cluster in which nothing can be reached, for a reason.
type unreachableCluster struct{ err error }

func (c unreachableCluster) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", c.err)}
}

func newStack(t testing.TB, config Config) *Stack {
	t.Helper()
	config.Laptop = []netip.Addr{laptop4, laptop6}
	config.Gateway = []netip.Addr{netip.MustParseAddr("198.19.0.0"), netip.MustParseAddr("fd5a::")}
	if config.Echo == nil {
		config.Echo = func(context.Context, netip.Addr) (net.PacketConn, net.Addr, error) {
			return nil, nil, errors.New("none")
		}
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// answerTo delivers a packet and returns what the stack sends for it.
func answerTo(t *testing.T, config Config, b []byte) []byte {
	t.Helper()
	ready := make(chan struct{}, 1)
	config.Output = func() {
		select {
		case ready <- struct{}{}:
		default:
		}
	}
	s := newStack(t, config)
	s.Deliver([][]byte{b}, 0)
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	bufs, sizes := [][]byte{make([]byte, 1280)}, make([]int, 1)
	if n := s.Collect(bufs, sizes, 0, 1280, 1280); n != 1 {
		t.Fatalf("%d packets", n)
	}
	return bufs[0][:sizes[0]]
}

// The laptop learns why a target can't be reached as from a router, about the very packet that it sent.
func TestFailuresReachTheLaptop(t *testing.T) {
	syn4 := segment{srcPort: 5, dstPort: 80, seq: 12345, flags: flagSyn}.packet()
	syn6 := segment{src: laptop6, dst: target6, srcPort: 5, dstPort: 80, seq: 12345, flags: flagSyn}.packet()
	udp4 := udpPacket(netip.AddrPortFrom(laptop4, 5), netip.AddrPortFrom(target4, 80), []byte("x"))
	forbidden := func(netip.Addr) error { return errors.New("forbidden") }
	tests := map[string]struct {
		packet     []byte
		err        error
		refuse     func(netip.Addr) error
		kind, code byte
	}{
		"no route to host":       {syn4, syscall.EHOSTUNREACH, nil, 3, 1},
		"no route to host, IPv6": {syn6, syscall.EHOSTUNREACH, nil, 1, 3},
		"no network":             {syn4, syscall.ENETUNREACH, nil, 3, 0},
		"no network, IPv6":       {syn6, syscall.ENETUNREACH, nil, 1, 0},
		"forbidden by a policy":  {syn4, syscall.EACCES, nil, 3, 13},
		"forbidden here":         {syn4, nil, forbidden, 3, 13},
		"forbidden here, IPv6":   {syn6, nil, forbidden, 1, 1},
		"UDP, no network":        {udp4, syscall.ENETUNREACH, nil, 3, 0},
		"UDP, forbidden here":    {udp4, nil, forbidden, 3, 13},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := answerTo(t, Config{Dialer: unreachableCluster{test.err}, Refuse: test.refuse}, test.packet)
			p, ok := parsePacket(b)
			sent, _ := parsePacket(test.packet)
			if !ok || !p.ipHeaderValid() || p.src != sent.dst || p.dst != sent.src {
				t.Fatalf("answer %+v", p)
			}
			if p.v6 && !p.transportChecksumValid() {
				t.Error("the checksum is wrong")
			}
			icmp := p.payload()
			if icmp[0] != test.kind || icmp[1] != test.code {
				t.Errorf("type %d code %d, want %d and %d", icmp[0], icmp[1], test.kind, test.code)
			}
			quoted := icmp[8+sent.transport:]
			if binary.BigEndian.Uint32(quoted) != binary.BigEndian.Uint32(sent.payload()) {
				t.Error("quotes other ports")
			}
			if sent.protocol == protocolTCP && binary.BigEndian.Uint32(quoted[4:]) != 12345 {
				t.Error("quotes another sequence number: the laptop would not believe it")
			}
		})
	}
}

func TestRefusedIsAReset(t *testing.T) {
	b := answerTo(t, Config{Dialer: unreachableCluster{syscall.ECONNREFUSED}}, segment{srcPort: 5, dstPort: 80, seq: 7, flags: flagSyn}.packet())
	p, ok := parsePacket(b)
	if !ok || p.protocol != protocolTCP || !p.transportChecksumValid() || p.payload()[13]&flagRst == 0 || binary.BigEndian.Uint32(p.payload()[8:]) != 8 {
		t.Errorf("answer % x", b)
	}
}

// What a laptop has waiting for slow targets is bounded: beyond that, its packets are dropped and it sends them again.
func TestReceivedDataAreBounded(t *testing.T) {
	s := newStack(t, Config{Limits: Limits{ReceiveBytes: 1}})
	s.Deliver([][]byte{segment{flags: flagAck, payload: bytesOf(100)}.packet()}, 0)
	shared := newStack(t, Config{Budget: &Budget{Max: 1}})
	shared.Deliver([][]byte{segment{flags: flagAck, payload: bytesOf(100)}.packet()}, 0)
	for _, s := range []*Stack{s, shared} {
		if stats := s.Stats(); stats.NoRoom != 1 || stats.BufferedBytes != 0 || s.budget.Used() != 0 {
			t.Errorf("figures %+v", stats)
		}
	}
}

// Whatever a laptop sends, the stack neither panics nor keeps anything of it.
func FuzzDeliver(f *testing.F) {
	f.Add(segment{srcPort: 1, dstPort: 2, flags: flagSyn}.packet())
	f.Add(segment{src: laptop6, dst: target6, flags: flagAck, payload: bytesOf(10)}.packet())
	f.Add(udpPacket(netip.AddrPortFrom(laptop4, 1), netip.AddrPortFrom(target4, 2), []byte("x")))
	f.Add(ipPacket(laptop4, target4, protocolICMP, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}))
	f.Add(ipPacket(laptop6, target6, 44, []byte{17, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}))
	s := newStack(f, Config{Dialer: unreachableCluster{syscall.ENETUNREACH}})
	bufs, sizes := [][]byte{make([]byte, 1280)}, make([]int, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		s.Deliver([][]byte{b}, 0)
		for s.Collect(bufs, sizes, 0, 1280, 1280) > 0 {
			if _, ok := parsePacket(bufs[0][:sizes[0]]); !ok {
				t.Fatal("an answer is no packet")
			}
		}
		if n := s.Stats().UDPFlows; n != 0 {
			t.Errorf("%d flows", n)
		}
	})
}

// TestCollectKeepsPackets: of a packet that does not fit what is left, nothing is taken, so that its pieces go on their way at once.
func TestCollectKeepsPackets(t *testing.T) {
	s := newStack(t, Config{Output: func() {}})
	const mtu = 1280
	payload := bytesOf(40 * (mtu - 40))
	for range 3 {
		pkt := outgoing(t, segment{srcPort: 80, dstPort: 1, flags: flagAck, payload: payload}.packet())
		pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, MSS: mtu - 40}
		if !s.link.push(pkt, false) {
			t.Fatal("not taken")
		}
	}
	bufs, sizes := make([][]byte, 100), make([]int, 100)
	for i := range bufs {
		bufs[i] = make([]byte, mtu)
	}
	for i, call := range []struct{ bufs, quantum, want int }{{60, 1 << 20, 40}, {60, 1000, 40}, {30, 1 << 20, 30}, {30, 1 << 20, 10}} {
		if n := s.Collect(bufs[:call.bufs], sizes, 0, mtu, call.quantum); n != call.want {
			t.Errorf("call %d: %d packets, want %d", i, n, call.want)
		}
	}
	if s.Pending() {
		t.Error("there is more")
	}
}
