// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// patience bounds what a test waits for; reaching it is a failure.
const patience = 20 * time.Second

// laptops stands for the tunnel: each Connection's name is a handler of what is dialed.
type laptops struct {
	mu     sync.Mutex
	handle map[string]func(net.Conn)
	heard  map[string]time.Time
	dialed []uint16
}

func (l *laptops) Dial(ctx context.Context, connection string, port uint16) (net.Conn, error) {
	l.mu.Lock()
	handle := l.handle[connection]
	l.dialed = append(l.dialed, port)
	l.mu.Unlock()
	if handle == nil {
		return nil, errors.New("connection refused")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			handle(c)
		}
	}()
	var d net.Dialer
	return d.DialContext(ctx, "tcp", listener.Addr().String())
}

func (l *laptops) Heard(connection string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[connection]
}

func (l *laptops) set(connection string, handle func(net.Conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handle[connection] = handle
}

// daemon answers an Open with an Answer and then serves the flow.
func daemon(answer wire.Answer, opens chan<- wire.Open, serve func(*net.TCPConn)) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		var open wire.Open
		if wire.ReadMessage(c, &open, wire.MaxOpen) != nil {
			return
		}
		if opens != nil {
			opens <- open
		}
		if wire.WriteMessage(c, answer, wire.MaxOpen) == nil && answer.Result == wire.Accepted && serve != nil {
			serve(c.(*net.TCPConn))
		}
	}
}

func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

// tokens knows some.
type tokens map[string]Identity

func (t tokens) Review(_ context.Context, token string) (Identity, error) {
	if token == "unreviewed" {
		return Identity{}, errors.New("ask the API server: it is away")
	}
	identity, ok := t[token]
	if !ok {
		return Identity{}, ErrToken
	}
	return identity, nil
}

// gateway is a Server under test.
type gateway struct {
	*Server
	t       testing.TB
	address string
	laptops *laptops
	stop    context.CancelFunc
	served  chan error
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func newGateway(t testing.TB, limits Limits, change func(*timing)) *gateway {
	t.Helper()
	g := &gateway{t: t, laptops: &laptops{handle: map[string]func(net.Conn){}, heard: map[string]time.Time{}}, served: make(chan error, 1)}
	options := Options{
		Certificate: certificate(t), CredentialKey: make([]byte, 32), Laptops: g.laptops, Limits: limits,
		Tokens: tokens{"token-1": {PodUID: "pod-1", Namespace: "shop", PodName: "api-1"}, "token-none": {}},
	}
	if testing.Verbose() {
		options.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	g.Server = server
	if change != nil {
		change(&g.timing)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	go func() { g.served <- g.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-g.served:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve goes on after its context has ended")
		}
	})
	return g
}

// podAt is a pod with one port that one intercept has whole.
func podAt(uid types.UID, address string) Pod {
	return Pod{
		UID: uid, Namespace: "shop", Name: "api-" + string(uid), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Container: "fairlead",
		Order:   wire.Order{Ports: []wire.PortOrder{{Port: 8080, Protocol: "TCP", Rules: []wire.Rule{{Intercept: "i-1"}}}}},
		Targets: map[string]Target{"i-1": {Connection: "ana", TunnelPort: 7000}},
	}
}

// sidecar is a connection of one.
type sidecar struct {
	t    testing.TB
	conn *tls.Conn
	raw  *net.TCPConn
}

// dial connects from an address and shows the Hello.
func (g *gateway) dial(from string, hello wire.Hello) (*sidecar, wire.Welcome) {
	g.t.Helper()
	raw := g.dialTCP(from)
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	c := &sidecar{t: g.t, conn: conn, raw: raw}
	var welcome wire.Welcome
	if err := wire.WriteMessage(conn, hello, wire.MaxOpen); err != nil {
		g.t.Fatal(err)
	}
	c.read(&welcome)
	return c, welcome
}

func (g *gateway) dialTCP(from string) *net.TCPConn {
	g.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	raw, err := d.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		g.t.Fatal(err)
	}
	return raw.(*net.TCPConn)
}

// hello is that of the container fairlead of a pod.
func (g *gateway) hello(purpose wire.Purpose, uid types.UID) wire.Hello {
	return wire.Hello{Version: wire.Version, Purpose: purpose, Program: "1.2.3", PodUID: string(uid), Container: "fairlead", Credential: g.Credential(uid, "fairlead")}
}

// join connects where nothing should be in the way.
func (g *gateway) join(purpose wire.Purpose, uid types.UID, from string) *sidecar {
	g.t.Helper()
	c, welcome := g.dial(from, g.hello(purpose, uid))
	if welcome != (wire.Welcome{PodUID: string(uid)}) {
		g.t.Fatalf("welcome %+v", welcome)
	}
	return c
}

func (c *sidecar) read(message any) {
	c.t.Helper()
	if err := wire.ReadMessage(c.conn, message, wire.MaxMessage); err != nil {
		c.t.Fatalf("read %T: %v", message, err)
	}
}

func (c *sidecar) write(message any) {
	c.t.Helper()
	if err := wire.WriteMessage(c.conn, message, wire.MaxMessage); err != nil {
		c.t.Fatalf("write %T: %v", message, err)
	}
}

// order reads until an order that is not a mere heartbeat.
func (c *sidecar) order() wire.Order {
	c.t.Helper()
	for {
		var order wire.Order
		c.read(&order)
		if !order.Unchanged {
			return order
		}
	}
}

// ended waits for the end of the connection.
func (c *sidecar) ended() error {
	c.t.Helper()
	_, err := io.Copy(io.Discard, c.conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("the connection goes on")
	}
	return err
}

func rawOpen() wire.Open {
	return wire.Open{Intercept: "i-1", Port: 8080, Protocol: "TCP", Kind: wire.FlowRaw, Client: netip.MustParseAddrPort("10.0.0.9:4711")}
}

// open asks for a flow.
func (c *sidecar) open(open wire.Open) wire.Answer {
	c.t.Helper()
	c.write(open)
	var answer wire.Answer
	c.read(&answer)
	return answer
}

// await waits until a pod's state is as wanted, looking whenever it changed.
func (g *gateway) await(uid types.UID, wanted func(State) bool) State {
	g.t.Helper()
	deadline := time.After(patience)
	for {
		if state := g.State(uid); wanted(state) {
			return state
		}
		select {
		case <-g.Changes():
		case <-deadline:
			g.t.Fatalf("the state stays %+v", g.State(uid))
		}
	}
}

// awaitStats waits until the figures are as wanted. Nothing tells of their changes.
func (g *gateway) awaitStats(what string, wanted func(Stats) bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !wanted(g.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("want %s, the figures are %+v", what, g.Stats())
		}
	}
}
