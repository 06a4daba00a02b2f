// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ping sends an echo request and checks the answer. The test's ping sockets miss an answer that comes before they are
// read from, and hear nothing from then on: so it asks again with a new one.
func ping(t *testing.T, l *laptop, address string, size int) error {
	t.Helper()
	var err error
	for range 20 {
		if err = pingOnce(t, l, address, size); err == nil {
			return nil
		}
	}
	return err
}

func pingOnce(t *testing.T, l *laptop, address string, size int) error {
	t.Helper()
	c, err := l.net.DialPingAddr(netip.Addr{}, netip.MustParseAddr(address))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var kind icmp.Type = ipv4.ICMPTypeEcho
	protocol := 1
	if strings.Contains(address, ":") {
		kind, protocol = ipv6.ICMPTypeEchoRequest, 58
	}
	data := bytes.Repeat([]byte("ping"), size/4)
	b, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: 1, Seq: 42, Data: data}}).Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 65535)
	n, err := c.Read(got)
	if err != nil {
		return err
	}
	m, err := icmp.ParseMessage(protocol, got[:n])
	if err != nil {
		t.Fatal(err)
	}
	echo, ok := m.Body.(*icmp.Echo)
	if !ok || echo.Seq != 42 || !bytes.Equal(echo.Data, data) {
		t.Fatalf("answer %+v", m)
	}
	return nil
}

// fakeEcho answers pings as a kernel's ping socket does, with an identifier of its own, for one address of each family.
func fakeEcho(_ context.Context, target netip.Addr) (net.PacketConn, net.Addr, error) {
	if target.String() != service4 && target.String() != service6 {
		return nil, nil, syscall.EHOSTUNREACH
	}
	return &echoConn{answers: make(chan []byte, 16), closed: make(chan struct{})}, &net.UDPAddr{IP: target.AsSlice()}, nil
}

type echoConn struct {
	net.PacketConn
	answers chan []byte
	closed  chan struct{}
}

func (c *echoConn) WriteTo(b []byte, to net.Addr) (int, error) {
	answer := bytes.Clone(b)
	answer[0] = byte(ipv4.ICMPTypeEchoReply)
	if to.(*net.UDPAddr).IP.To4() == nil {
		answer[0] = byte(ipv6.ICMPTypeEchoReply)
	}
	answer[4], answer[5] = 0xbe, 0xef
	c.answers <- answer
	return len(b), nil
}

func (c *echoConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case answer := <-c.answers:
		return copy(b, answer), nil, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *echoConn) SetReadDeadline(time.Time) error { return nil }

func (c *echoConn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func TestPing(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{Echo: fakeEcho})
	l := newLaptop(t, tunnel, 1, 1280)
	for _, address := range []string{service4, service6, l.peer.Gateway[0].String(), l.peer.Gateway[1].String()} {
		for _, size := range []int{56, 4000} {
			if err := ping(t, l, address, size); err != nil {
				t.Errorf("ping %s with %d bytes: %v", address, size, err)
			}
		}
	}
	c, err := l.net.DialPingAddr(netip.Addr{}, netip.MustParseAddr("10.96.0.99"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, _ := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{Seq: 1}}).Marshal(nil)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	// A later answer proves that the earlier one will not come.
	if err := ping(t, l, service4, 56); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 100)); err == nil {
		t.Errorf("an address that does not exist answered with %d bytes", n)
	}
}
