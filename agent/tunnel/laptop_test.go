// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	wgnetstack "golang.zx2c4.com/wireguard/tun/netstack"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// cluster stands for the network behind the gateway: whatever address is dialed, the socket that is opened is one of
// the test's own on loopback with the same port. Addresses in routes are somebody else's.
type cluster struct {
	mu     sync.Mutex
	dialed []string
	errs   map[netip.Addr]error
}

func (c *cluster) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ap := netip.MustParseAddrPort(address)
	c.mu.Lock()
	c.dialed = append(c.dialed, network+" "+address)
	err := c.errs[ap.Addr()]
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	host := "127.0.0.1"
	if ap.Addr().Is6() {
		host = "::1"
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort(host, fmt.Sprint(ap.Port())))
}

func (c *cluster) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dialed) == 0 {
		return ""
	}
	return c.dialed[len(c.dialed)-1]
}

func newKey(t testing.TB) Key {
	t.Helper()
	var k Key
	if _, err := rand.Read(k[:]); err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPublic(t testing.TB, private Key) Key {
	t.Helper()
	public, err := publicKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// newTunnel starts a gateway in front of a test cluster.
func newTunnel(t testing.TB, config Config) (*Tunnel, *cluster) {
	t.Helper()
	c := &cluster{errs: map[netip.Addr]error{}}
	if config.PrivateKey == (Key{}) {
		config.PrivateKey = newKey(t)
	}
	if config.Dialer == nil {
		config.Dialer = c
	}
	if testing.Verbose() {
		config.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	tunnel, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tunnel.Close)
	return tunnel, c
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) { w.t.Log(string(p)); return len(p), nil }

// laptop is a WireGuard peer with a user-space stack, as the helper's in all that matters here.
type laptop struct {
	t       testing.TB
	private Key
	peer    Peer
	net     *wgnetstack.Net
	device  *device.Device
	bind    *laptopBind
}

// newLaptop joins a laptop with the n-th pair of addresses. mtu is that of its network interface.
func newLaptop(t testing.TB, tunnel *Tunnel, n int, mtu int, mappings ...Mapping) *laptop {
	t.Helper()
	l := &laptop{t: t, private: newKey(t)}
	l.peer = Peer{
		Name:      fmt.Sprintf("laptop-%d", n),
		PublicKey: mustPublic(t, l.private),
		Gateway:   []netip.Addr{netip.AddrFrom4([4]byte{198, 19, byte(n >> 7), byte(n << 1)}), netip.MustParseAddr(fmt.Sprintf("fd5a::%x:0", n))},
		Laptop:    []netip.Addr{netip.AddrFrom4([4]byte{198, 19, byte(n >> 7), byte(n<<1) + 1}), netip.MustParseAddr(fmt.Sprintf("fd5a::%x:1", n))},
		Mappings:  mappings,
	}
	if err := tunnel.SetPeer(l.peer); err != nil {
		t.Fatal(err)
	}
	dev, stack, err := wgnetstack.CreateNetTUN(l.peer.Laptop, nil, mtu)
	if err != nil {
		t.Fatal(err)
	}
	l.net = stack
	l.bind = newLaptopBind()
	l.device = device.NewDevice(dev, l.bind, device.NewLogger(device.LogLevelSilent, ""))
	port, err := tunnel.UDPPort()
	if err != nil {
		t.Fatal(err)
	}
	l.bind.gateway = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	public := tunnel.PublicKey()
	err = l.device.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n",
		hex.EncodeToString(l.private[:]), hex.EncodeToString(public[:]), port))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.device.Up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.device.Close(); l.bind.end() })
	return l
}

// useRelay opens a relay stream and sends over it from now on.
func (l *laptop) useRelay(tunnel *Tunnel) net.Conn {
	l.t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tunnel.bind.ServeStream(context.Background(), there)
	}()
	if _, err := here.Write(carrier.Hello[:]); err != nil {
		l.t.Fatal(err)
	}
	if err := carrier.ReadHello(here); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { here.Close(); <-done })
	l.bind.setRelay(here)
	return here
}

// probe sends a probe by the carrier in use and returns the answer.
func (l *laptop) probe(tunnel *Tunnel, p carrier.Probe) carrier.Probe {
	l.t.Helper()
	key, err := carrier.ProbeKey(l.private, tunnel.PublicKey())
	if err != nil {
		l.t.Fatal(err)
	}
	p.Kind, p.Hint = carrier.ProbeRequest, carrier.PeerHint(l.peer.PublicKey)
	port, err := tunnel.UDPPort()
	if err != nil {
		l.t.Fatal(err)
	}
	to, err := l.bind.ParseEndpoint(fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.bind.Send([][]byte{carrier.AppendProbe(nil, p, key)}, to); err != nil {
		l.t.Fatal(err)
	}
	select {
	case b := <-l.bind.probes:
		answer, err := carrier.ParseProbe(b, key)
		if err != nil {
			l.t.Fatal(err)
		}
		return answer
	case <-time.After(5 * time.Second):
		l.t.Fatal("no answer to a probe")
		panic("unreachable")
	}
}

// laptopBind sends by UDP or by a relay stream, and receives by both.
type laptopBind struct {
	conn.Bind
	relay   atomic.Pointer[net.Conn]
	in      chan []byte
	probes  chan []byte
	mu      sync.Mutex
	closed  chan struct{}
	ended   chan struct{}
	gateway netip.AddrPort
	once    sync.Once
}

func newLaptopBind() *laptopBind {
	return &laptopBind{Bind: conn.NewStdNetBind(), in: make(chan []byte, 16), probes: make(chan []byte, 16), closed: make(chan struct{}), ended: make(chan struct{})}
}

func (b *laptopBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	b.closed = make(chan struct{})
	closed := b.closed
	b.mu.Unlock()
	fns, actual, err := b.Bind.Open(port)
	for i, fn := range fns {
		fns[i] = func(p [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			n, err := fn(p, sizes, eps)
			for i := range n {
				if carrier.IsProbe(p[i][:sizes[i]]) {
					b.probes <- append([]byte(nil), p[i][:sizes[i]]...)
					sizes[i] = 0
				}
			}
			return n, err
		}
	}
	fns = append(fns, func(p [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case <-closed:
			return 0, net.ErrClosed
		case d := <-b.in:
			sizes[0] = copy(p[0], d)
			eps[0] = &conn.StdNetEndpoint{AddrPort: b.gateway} // the relay must not look like roaming
			return 1, nil
		}
	})
	return fns, actual, err
}

func (b *laptopBind) Close() error {
	b.mu.Lock()
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	b.mu.Unlock()
	return b.Bind.Close()
}

func (b *laptopBind) end() { b.once.Do(func() { close(b.ended) }) }

func (b *laptopBind) setRelay(c net.Conn) {
	b.relay.Store(&c)
	go func() {
		r := bufio.NewReader(c)
		buf := make([]byte, carrier.MaxDatagram)
		for {
			n, err := carrier.ReadDatagram(r, buf)
			if err != nil {
				return
			}
			d := append([]byte(nil), buf[:n]...)
			to := b.in
			if carrier.IsProbe(d) {
				to = b.probes
			}
			select {
			case to <- d:
			case <-b.ended:
				return
			}
		}
	}()
}

func (b *laptopBind) useUDP() { b.relay.Store(nil) }

func (b *laptopBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	if c := b.relay.Load(); c != nil {
		var frames []byte
		for _, d := range bufs {
			frames, _ = carrier.AppendFrame(frames, d)
		}
		_, err := (*c).Write(frames)
		return err
	}
	return b.Bind.Send(bufs, ep)
}

// listen starts a TCP server on loopback that serves each connection with handle.
func listen(t testing.TB, network string, handle func(*net.TCPConn)) uint16 {
	t.Helper()
	host := "127.0.0.1:0"
	if network == "tcp6" {
		host = "[::1]:0"
	}
	l, err := net.Listen(network, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			}()
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func echoServer(c *net.TCPConn) { _, _ = io.Copy(c, c) }

// dial connects through the tunnel.
func (l *laptop) dial(address string, port uint16) net.Conn {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := l.net.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(netip.MustParseAddr(address), port))
	if err != nil {
		l.t.Fatalf("dial %s: %v", address, err)
	}
	l.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		l.t.Fatal(err)
	}
	return c
}
