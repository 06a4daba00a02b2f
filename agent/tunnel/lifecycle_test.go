// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

func TestRemovePeerEndsItsFlows(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	ended := make(chan struct{})
	port := listen(t, "tcp4", func(c *net.TCPConn) {
		_, _ = c.Write([]byte("x"))
		_, _ = io.Copy(io.Discard, c)
		close(ended)
	})
	if _, err := io.ReadFull(l.dial(service4, port), make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	tunnel.RemovePeer(l.peer.PublicKey)
	tunnel.RemovePeer(l.peer.PublicKey)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the target's side is still open")
	}
	if stats, err := tunnel.Stats(); err != nil || len(stats.Peers) != 0 {
		t.Errorf("%d peers left, %v", len(stats.Peers), err)
	}
}

// A gateway that was started anew says so in its answers to probes, until the laptop has made a handshake.
func TestProbesSayThatThereIsNoSession(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	l.useRelay(tunnel)
	until := func(want bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for l.probe(tunnel, carrier.Probe{TunnelMTU: 1400}).NoSession != want {
			if time.Now().After(deadline) {
				t.Fatalf("answers don't say that NoSession is %v", want)
			}
		}
	}
	until(true)
	if err := ping(t, l, l.peer.Gateway[0].String(), 56); err != nil {
		t.Fatal(err)
	}
	until(false)
}

// A gateway that sends to a laptop by another way than the probe took says so, until WireGuard has heard the laptop this way:
// a datagram that was long on its way can have moved it back.
func TestProbesSayThatTheGatewaySendsElsewhere(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	until := func(want bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for l.probe(tunnel, carrier.Probe{TunnelMTU: 1400}).Elsewhere != want {
			if time.Now().After(deadline) {
				t.Fatalf("answers don't say that Elsewhere is %v", want)
			}
		}
	}
	hear := func() {
		t.Helper()
		if err := ping(t, l, l.peer.Gateway[0].String(), 56); err != nil {
			t.Fatal(err)
		}
	}
	hear()
	until(false)
	relay := l.useRelay(tunnel)
	until(true)
	hear()
	until(false)
	l.bind.useUDP()
	until(true)
	hear()
	until(false)
	l.bind.relay.Store(&relay) // which is still being read
	until(true)
}

// A connection to a laptop can be reset, so that the program there learns that the caller broke off.
func TestDialedConnectionIsReset(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	listener, err := l.net.ListenTCPAddrPort(netip.AddrPortFrom(l.peer.Laptop[0], 9000))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, c)
			c.Close()
		}
		ended <- err
	}()
	_ = ping(t, l, l.peer.Gateway[0].String(), 56)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := tunnel.DialTCP(ctx, l.peer.PublicKey, 9000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ SetLinger(int) error }).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("the laptop saw %v, want a reset", err)
		}
	case <-ctx.Done():
		t.Error("the laptop was not told")
	}
	if _, err := tunnel.DialTCP(ctx, l.peer.PublicKey, 9001); err == nil || ctx.Err() != nil {
		t.Errorf("a closed port: %v, want refused at once", err)
	}
}

// The gateway can open connections to a laptop: intercepted traffic takes this way.
func TestDialLaptop(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	listener, err := l.net.ListenTCPAddrPort(netip.AddrPortFrom(l.peer.Laptop[0], 9000))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	from := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		from <- host
		c.Close()
	}()
	// The laptop has to be heard first: the gateway never begins.
	_ = ping(t, l, l.peer.Gateway[0].String(), 56)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := tunnel.DialTCP(ctx, l.peer.PublicKey, 9000)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := <-from; got != l.peer.Gateway[0].String() {
		t.Errorf("the laptop saw %s, want the gateway's address", got)
	}
	if _, err := tunnel.DialTCP(ctx, Key{1}, 9000); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("unknown peer: %v", err)
	}
}

func TestSetPeerRefuses(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	addr := netip.MustParseAddr
	good := Peer{PublicKey: mustPublic(t, newKey(t)), Laptop: []netip.Addr{addr("198.19.0.1")}, Gateway: []netip.Addr{addr("198.19.0.0")}}
	for name, change := range map[string]func(*Peer){
		"no address":     func(p *Peer) { p.Laptop = nil },
		"no gateway":     func(p *Peer) { p.Gateway = nil },
		"loopback":       func(p *Peer) { p.Laptop = []netip.Addr{addr("127.0.0.1")} },
		"zero address":   func(p *Peer) { p.Laptop = []netip.Addr{{}} },
		"weak key":       func(p *Peer) { p.PublicKey = Key{} },
		"odd mapping":    func(p *Peer) { p.Mappings = []Mapping{{}} },
		"mapped address": func(p *Peer) { p.Gateway = []netip.Addr{addr("::ffff:198.19.0.0")} },
	} {
		p := good
		change(&p)
		if err := tunnel.SetPeer(p); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := tunnel.SetPeer(good); err != nil {
		t.Error(err)
	}
	tunnel.Close()
	if err := tunnel.SetPeer(good); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A laptop that goes away after it has said all is noticed, though nobody reads from it any more.
func TestLaptopLostAfterHalfClose(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	ended := make(chan struct{})
	port := listen(t, "tcp4", func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c)
		_, _ = c.Write([]byte("x")) // tells the laptop that its end has come through
		for {
			if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
				close(ended)
				return
			}
			if _, err := c.Write(nil); err != nil {
				close(ended)
				return
			}
			time.Sleep(time.Millisecond)
			if err := deadSocket(c); err != nil {
				close(ended)
				return
			}
		}
	})
	c := l.dial(service4, port)
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	tunnel.RemovePeer(l.peer.PublicKey)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the target was not told")
	}
}

// deadSocket returns a connection's pending error, such as a reset.
func deadSocket(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var pending int
	if err := raw.Control(func(fd uintptr) {
		pending, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	}); err != nil {
		return err
	}
	if pending != 0 {
		return syscall.Errno(pending)
	}
	return nil
}

// A laptop that takes all it can get leaves room for another one's small requests.
func TestFairness(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	greedy, modest := newLaptop(t, tunnel, 1, 1280), newLaptop(t, tunnel, 2, 1280)
	source := listen(t, "tcp4", func(c *net.TCPConn) {
		b := make([]byte, 1<<20)
		for {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	echo := listen(t, "tcp4", echoServer)
	// The test's laptop must not be closed while its stack still writes (wireguard's tun/netstack).
	defer silence(t, greedy)
	for range 4 {
		c := greedy.dial(service4, source)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		defer c.Close()
	}
	c := modest.dial(service4, echo)
	for range 100 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// silence waits until a laptop neither sends nor hears anything any more.
func silence(t *testing.T, l *laptop) {
	t.Helper()
	text := ""
	for {
		now, err := l.device.IpcGet()
		if err != nil {
			t.Fatal(err)
		}
		if now == text {
			return
		}
		text = now
		time.Sleep(100 * time.Millisecond) // a time in which a busy laptop moves bytes
	}
}

// Nothing goes on after Close.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	tunnel, _ := newTunnel(t, Config{Echo: fakeEcho, DNS: &dnsEcho{}})
	l := newLaptop(t, tunnel, 1, 1280)
	port := listen(t, "tcp4", echoServer)
	udp := udpServer(t, "udp4", func(c net.PacketConn, b []byte, from net.Addr) { _, _ = c.WriteTo(b, from) })
	for range 20 {
		c := l.dial(service4, port)
		_, _ = c.Write([]byte("x"))
	}
	u := l.dialUDP(service4, udp)
	_, _ = u.Write([]byte("x"))
	if _, err := u.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := ping(t, l, service4, 56); err != nil {
		t.Fatal(err)
	}
	l.device.Close()
	l.bind.end()
	tunnel.Close()
	tunnel.Close()
	const own = 4 // the two servers of the test, and what the runtime may have started
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before+own {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}
