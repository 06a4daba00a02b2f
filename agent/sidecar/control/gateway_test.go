// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// testGateway is a gateway whose every connection the test serves.
type testGateway struct {
	t        *testing.T
	listener net.Listener
	pin      Pin
	welcome  func(wire.Hello) wire.Welcome
	arrived  chan arrival
}

// arrival is a connection that was welcomed.
type arrival struct {
	*tls.Conn
	hello wire.Hello
}

func startGateway(t *testing.T) *testGateway {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: private}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &testGateway{t: t, listener: listener, pin: sha256.Sum256(key), arrived: make(chan arrival, 16)}
	t.Cleanup(func() { _ = listener.Close() })
	go g.accept()
	return g
}

func (g *testGateway) accept() {
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.t.Cleanup(func() { _ = conn.Close() })
		go func() {
			var hello wire.Hello
			if wire.ReadMessage(conn, &hello, wire.MaxOpen) != nil {
				return
			}
			welcome := wire.Welcome{PodUID: hello.PodUID}
			if g.welcome != nil {
				welcome = g.welcome(hello)
			}
			_ = wire.WriteMessage(conn, welcome, wire.MaxOpen)
			if welcome.Error != "" {
				_ = conn.Close()
				return
			}
			g.arrived <- arrival{conn.(*tls.Conn), hello}
		}()
	}
}

func (g *testGateway) next() arrival {
	g.t.Helper()
	select {
	case a := <-g.arrived:
		_ = a.SetDeadline(time.Now().Add(patience))
		return a
	case <-time.After(patience):
		g.t.Fatal("nobody connected")
		return arrival{}
	}
}

// nextFor a purpose; others wait on.
func (g *testGateway) nextFor(purpose wire.Purpose) arrival {
	g.t.Helper()
	for {
		if a := g.next(); a.hello.Purpose == purpose {
			return a
		}
	}
}

func (g *testGateway) client() *Gateway {
	return &Gateway{
		Addresses: []netip.AddrPort{g.listener.Addr().(*net.TCPAddr).AddrPort()}, Pin: g.pin,
		Identity: Identity{PodUID: "pod", Container: "fairlead-1", Credential: "secret", Program: "1.2.3"},
	}
}

// order sends one.
func (a arrival) order(t *testing.T, order wire.Order) {
	t.Helper()
	if err := wire.WriteMessage(a, order, wire.MaxMessage); err != nil {
		t.Fatal(err)
	}
}

// report waits for one that is enough.
func (a arrival) report(t *testing.T, enough func(wire.Report) bool) wire.Report {
	t.Helper()
	for {
		var report wire.Report
		if err := wire.ReadMessage(a, &report, wire.MaxMessage); err != nil {
			t.Fatal(err)
		}
		if err := report.Validate(); err != nil {
			t.Fatal(err)
		}
		if enough(report) {
			return report
		}
	}
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestHello(t *testing.T) {
	g := startGateway(t)
	for _, test := range []struct {
		name  string
		token string
		want  wire.Hello
	}{
		{"credential", "", wire.Hello{PodUID: "pod", Credential: "secret"}},
		{"token", "abc\n", wire.Hello{PodUID: "pod", Token: "abc"}},
	} {
		client := g.client()
		if test.token != "" {
			client.Identity.TokenFile = filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(client.Identity.TokenFile, []byte(test.token), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := client.dial(t.Context(), wire.PurposeControl)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		test.want.Version, test.want.Purpose, test.want.Program, test.want.Container = wire.Version, wire.PurposeControl, "1.2.3", "fairlead-1"
		if got := g.next().hello; got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestOnlyThePinnedKeyIsBelieved(t *testing.T) {
	g := startGateway(t)
	client := g.client()
	client.Pin[0]++
	_, err := client.dial(t.Context(), wire.PurposeControl)
	if err == nil || !strings.Contains(err.Error(), "the gateway's key is not the one this sidecar was given") {
		t.Errorf("it says %v", err)
	}
	if len(g.arrived) != 0 {
		t.Error("the credential was told")
	}
}

func TestTheNextAddressIsTried(t *testing.T) {
	g := startGateway(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	client := g.client()
	client.Addresses = append([]netip.AddrPort{closed.Addr().(*net.TCPAddr).AddrPort()}, client.Addresses...)
	conn, err := client.dial(t.Context(), wire.PurposeFlow)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestParsePin(t *testing.T) {
	for text, good := range map[string]bool{
		"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU": true, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=": true,
		"": false, "47DEQpj8": false, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU": false,
	} {
		if _, err := ParsePin(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReady(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan struct{})
	name := "test/" + t.Name()
	if err := ServeReady(ctx, name, func() bool {
		select {
		case <-ready:
			return true
		default:
			return false
		}
	}); err != nil {
		t.Fatal(err)
	}
	waited := make(chan time.Duration, 1)
	wait := func() {
		began := time.Now()
		WaitReady(name)
		waited <- time.Since(began)
	}
	go wait()
	close(ready)
	for try := 1; ; try++ {
		took := <-waited
		if took < ReadyLimit {
			break
		}
		if try == 5 { // a busy machine may miss the limit now and then
			t.Fatalf("it waited %s though all was ready", took)
		}
		wait()
	}
	// Without anybody to ask it ends all the same.
	WaitReady("test/nobody")
}
