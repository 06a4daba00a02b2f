// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/agent/netstack"
)

func udpServer(t *testing.T, network string, handle func(net.PacketConn, []byte, net.Addr)) uint16 {
	t.Helper()
	host := "127.0.0.1:0"
	if network == "udp6" {
		host = "[::1]:0"
	}
	c, err := net.ListenPacket(network, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			handle(c, buf[:n], from)
		}
	}()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func (l *laptop) dialUDP(address string, port uint16) net.Conn {
	l.t.Helper()
	c, err := l.net.DialUDPAddrPort(netip.AddrPort{}, netip.AddrPortFrom(netip.MustParseAddr(address), port))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		l.t.Fatal(err)
	}
	return c
}

// Datagrams of any size pass both ways, those larger than the tunnel's MTU in fragments.
func TestUDP(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	echo := func(c net.PacketConn, b []byte, from net.Addr) { _, _ = c.WriteTo(b, from) }
	for address, port := range map[string]uint16{service4: udpServer(t, "udp4", echo), service6: udpServer(t, "udp6", echo)} {
		c := l.dialUDP(address, port)
		for _, size := range []int{0, 1, 1200, 1300, 8000, 60000} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 65535)
			n, err := c.Read(got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("%s: of %d bytes %d came back: %v", address, size, n, err)
			}
		}
	}
	if stats, _ := tunnel.Stats(); stats.Peers[0].UDPFlows != 2 {
		t.Errorf("%d flows, want 2", stats.Peers[0].UDPFlows)
	}
}

func TestMappedAddresses(t *testing.T) {
	tunnel, cluster := newTunnel(t, Config{})
	m := Mapping{Real: netip.MustParsePrefix("10.96.0.0/12"), Mapped: netip.MustParsePrefix("172.16.0.0/12")}
	l := newLaptop(t, tunnel, 1, 1280, m)
	port := listen(t, "tcp4", echoServer)
	c := l.dial("172.16.0.10", port)
	want := "tcp " + netip.AddrPortFrom(netip.MustParseAddr(service4), port).String()
	if cluster.last() != want {
		t.Errorf("dialed %s, want %s", cluster.last(), want)
	}
	// Other mappings leave an open connection alone.
	changed := l.peer
	changed.Mappings = nil
	if err := tunnel.SetPeer(changed); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("the connection did not outlive a change of mappings: %v", err)
	}
}

func TestForbiddenAddresses(t *testing.T) {
	refused := netip.MustParseAddr("10.244.0.5")
	tunnel, cluster := newTunnel(t, Config{Refuse: func(a netip.Addr) error {
		if a == refused {
			return errors.New("the gateway's own address")
		}
		return nil
	}})
	one, two := newLaptop(t, tunnel, 1, 1280), newLaptop(t, tunnel, 2, 1280)
	port := listen(t, "tcp4", echoServer)
	for _, address := range []string{
		"127.0.0.1", "127.8.8.8", "169.254.169.254", "0.0.0.0", "100.100.100.200", "255.255.255.255", refused.String(),
		two.peer.Laptop[0].String(), two.peer.Gateway[0].String(), "::1", "fd00:ec2::254", two.peer.Laptop[1].String(),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		c, err := one.net.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(netip.MustParseAddr(address), port))
		cancel()
		if err == nil {
			c.Close()
			t.Errorf("%s was reached", address)
		}
	}
	if last := cluster.last(); last != "" {
		t.Errorf("the gateway dialed %s", last)
	}
	two.dial(service4, port)
}

func TestFlowCap(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{Limits: Limits{Peer: netstack.Limits{TCPFlows: 3, UDPFlows: 2}}})
	l := newLaptop(t, tunnel, 1, 1280)
	port := listen(t, "tcp4", echoServer)
	var open []net.Conn
	for range 3 {
		open = append(open, l.dial(service4, port))
	}
	if _, err := l.net.DialTCPAddrPort(netip.AddrPortFrom(netip.MustParseAddr(service4), port)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("a connection too many: %v, want refused", err)
	}
	// Another laptop is not concerned.
	newLaptop(t, tunnel, 2, 1280).dial(service4, port)
	// Ending one makes room for one.
	open[0].Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := l.net.DialTCPAddrPort(netip.AddrPortFrom(netip.MustParseAddr(service4), port))
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a connection after one has ended: %v", err)
		}
	}
	udp := udpServer(t, "udp4", func(c net.PacketConn, b []byte, from net.Addr) { _, _ = c.WriteTo(b, from) })
	for range 5 {
		c := l.dialUDP(service4, udp)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	stats, err := tunnel.Stats()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range stats.Peers {
		if p.Name == "laptop-1" && (p.UDPFlows > 2 || p.UDPOpened != 5 || p.RefusedFlows == 0) {
			t.Errorf("figures %+v", p.Stats)
		}
	}
}

// A stream that speaks something else, or breaks off, harms nobody.
func TestMalformedRelayStreams(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	hello := string(carrier.Hello[:])
	for name, bytes := range map[string]string{
		"nothing":         "",
		"HTTP":            "GET / HTTP/1.1\r\n\r\n",
		"another version": "FLRELAY\x02",
		"empty frame":     hello + "\x00\x00",
		"cut frame":       hello + "\x05\xdcabc",
		"noise":           hello + "\x00\x03abc\x00\x20\x04\x00\x00\x00" + strings.Repeat("\xff", 28) + "\x00\x40\xfaFL\x01" + strings.Repeat("\x00", 60),
	} {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- tunnel.bind.ServeStream(context.Background(), there) }()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		_, _ = here.Write([]byte(bytes))
		here.Close()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the stream goes on", name)
		}
	}
	if tunnel.bind.Streams() != 0 {
		t.Errorf("%d streams left", tunnel.bind.Streams())
	}
	l.useRelay(tunnel)
	l.dial(service4, listen(t, "tcp4", echoServer))
}

func TestProbes(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	if heard := tunnel.Heard(l.peer.PublicKey); !heard.IsZero() {
		t.Errorf("heard at %s before it said anything", heard)
	}
	for _, size := range []int{carrier.ProbeSize, 1400, 9000} {
		answer := l.probe(tunnel, carrier.Probe{Size: size, Sequence: uint64(size), TunnelMTU: 1400})
		if answer.Kind != carrier.ProbeReply || answer.Size != size || answer.Sequence != uint64(size) {
			t.Errorf("answer %+v", answer)
		}
	}
	if stats, _ := tunnel.Stats(); stats.Peers[0].MTU != 1392 || stats.Peers[0].Carrier != "" {
		t.Errorf("MTU %d by %q, want 1392 (1400 in whole blocks) and nothing heard inside the tunnel yet", stats.Peers[0].MTU, stats.Peers[0].Carrier)
	}
	if heard := tunnel.Heard(l.peer.PublicKey); time.Since(heard) > time.Minute {
		t.Errorf("last heard at %s, want now", heard)
	}
	tunnel.RemovePeer(l.peer.PublicKey)
	if heard := tunnel.Heard(l.peer.PublicKey); !heard.IsZero() {
		t.Errorf("one who is gone was heard at %s", heard)
	}
	if got := tunnel.bind.Streams(); got != 0 {
		t.Errorf("%d streams", got)
	}
}
