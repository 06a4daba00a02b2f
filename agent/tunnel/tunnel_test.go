// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

const service4, service6 = "10.96.0.10", "fd00:96::10"

func TestEcho(t *testing.T) {
	for name, address := range map[string]string{"IPv4": service4, "IPv6": service6} {
		t.Run(name, func(t *testing.T) {
			tunnel, cluster := newTunnel(t, Config{})
			network := "tcp4"
			if name == "IPv6" {
				network = "tcp6"
			}
			port := listen(t, network, echoServer)
			c := newLaptop(t, tunnel, 1, 1280).dial(address, port)
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
				t.Fatalf("got %q, %v", got, err)
			}
			want := "tcp " + netip.AddrPortFrom(netip.MustParseAddr(address), port).String()
			if cluster.last() != want {
				t.Errorf("dialed %q, want %q", cluster.last(), want)
			}
		})
	}
}

// transfer moves size bytes both ways at once over one connection and compares checksums.
func transfer(t *testing.T, l *laptop, size int, during func()) {
	t.Helper()
	data := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(data)
	up := make(chan [32]byte, 1)
	port := listen(t, "tcp4", func(c *net.TCPConn) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			h := sha256.New()
			_, _ = io.Copy(h, c)
			up <- [32]byte(h.Sum(nil))
		}()
		_, _ = c.Write(data)
		_ = c.CloseWrite()
		<-done
	})
	c := l.dial(service4, port)
	go func() {
		_, _ = c.Write(data)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	if during != nil {
		go during()
	}
	down := sha256.New()
	n, err := io.Copy(down, c)
	if err != nil || n != int64(size) {
		t.Fatalf("received %d of %d bytes: %v", n, size, err)
	}
	want := sha256.Sum256(data)
	if !bytes.Equal(down.Sum(nil), want[:]) {
		t.Error("download arrived altered")
	}
	select {
	case got := <-up:
		if got != want {
			t.Error("upload arrived altered")
		}
	case <-time.After(5 * time.Minute):
		t.Error("upload did not end")
	}
}

func TestTransferUDP(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	transfer(t, newLaptop(t, tunnel, 1, 1424), 64<<20, nil)
}

func TestTransferRelayWithLargePackets(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 32768)
	l.useRelay(tunnel)
	if answer := l.probe(tunnel, carrier.Probe{Sequence: 7, TunnelMTU: 32768}); answer.Sequence != 7 || answer.Kind != carrier.ProbeReply {
		t.Fatalf("answer %+v", answer)
	}
	transfer(t, l, 64<<20, nil)
	stats, err := tunnel.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if p := stats.Peers[0]; p.Carrier != "relay" || p.MTU != 32768 || p.LastHandshake.IsZero() || p.RxBytes < 64<<20 || p.TxBytes < 64<<20 {
		t.Errorf("stats %+v", p)
	}
}

// A connection with data in flight survives every change of carrier, also one that was opened with large packets.
func TestSwitchCarrierMidFlow(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 8192) // upstream's netstack can't change its MTU: UDP over loopback bears this
	l.useRelay(tunnel)
	l.probe(tunnel, carrier.Probe{TunnelMTU: 8192})
	relay := l.bind.relay.Load()
	transfer(t, l, 64<<20, func() {
		for range 3 {
			time.Sleep(30 * time.Millisecond)
			l.bind.useUDP()
			time.Sleep(30 * time.Millisecond)
			l.bind.relay.Store(relay)
		}
		l.bind.useUDP()
	})
	stats, err := tunnel.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if p := stats.Peers[0]; p.Carrier != "udp" || p.MTU != 1280 {
		t.Errorf("ended on %s with MTU %d", p.Carrier, p.MTU)
	}
}

func TestHalfClose(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	t.Run("laptop ends first", func(t *testing.T) {
		port := listen(t, "tcp4", func(c *net.TCPConn) {
			all, _ := io.ReadAll(c)
			_, _ = c.Write([]byte(strings.ToUpper(string(all))))
		})
		c := l.dial(service4, port)
		_, _ = c.Write([]byte("question"))
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "QUESTION" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
	t.Run("target ends first", func(t *testing.T) {
		received := make(chan string, 1)
		port := listen(t, "tcp4", func(c *net.TCPConn) {
			_, _ = c.Write([]byte("banner"))
			_ = c.CloseWrite()
			all, _ := io.ReadAll(c)
			received <- string(all)
		})
		c := l.dial(service4, port)
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "banner" {
			t.Fatalf("got %q, %v", got, err)
		}
		_, _ = c.Write([]byte("late"))
		c.Close()
		if got := <-received; got != "late" {
			t.Errorf("target received %q", got)
		}
	})
}

func TestReset(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	t.Run("by target", func(t *testing.T) {
		port := listen(t, "tcp4", func(c *net.TCPConn) {
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.SetLinger(0)
		})
		c := l.dial(service4, port)
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || !strings.Contains(err.Error(), "reset") {
			t.Errorf("got %v, want a reset", err)
		}
	})
	t.Run("by shutdown of the gateway", func(t *testing.T) {
		tunnel, _ := newTunnel(t, Config{})
		l := newLaptop(t, tunnel, 1, 1280)
		ended := make(chan error, 1)
		port := listen(t, "tcp4", func(c *net.TCPConn) {
			_, _ = c.Write([]byte("x"))
			_, err := io.Copy(io.Discard, c)
			ended <- err
		})
		c := l.dial(service4, port)
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		tunnel.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || !strings.Contains(err.Error(), "reset") {
			t.Errorf("laptop got %v, want a reset", err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Error("target saw an orderly end, want a reset")
			}
		case <-time.After(10 * time.Second):
			t.Error("target was not told")
		}
	})
}

func TestRefusedStaysRefused(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	port := listen(t, "tcp4", echoServer)
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := uint16(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	if _, err := l.net.DialTCPAddrPort(netip.AddrPortFrom(netip.MustParseAddr(service4), closed)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want refused", err)
	}
	l.dial(service4, port)
}

// A relay stream that takes nothing any more must not hold up a laptop that has left it.
func TestStalledRelay(t *testing.T) {
	tunnel, _ := newTunnel(t, Config{})
	l := newLaptop(t, tunnel, 1, 1280)
	here, there := net.Pipe()
	go func() { _ = tunnel.bind.ServeStream(t.Context(), there) }()
	if _, err := here.Write(carrier.Hello[:]); err != nil {
		t.Fatal(err)
	}
	if err := carrier.ReadHello(here); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	// Up through the relay, but what comes down by it is never read; the handshake goes by UDP.
	port := listen(t, "tcp4", func(c *net.TCPConn) {
		_, _ = c.Write(make([]byte, 8<<20))
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	})
	c := l.dial(service4, port)
	l.bind.relay.Store(&here)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	member := tunnel.mux.find(l.peer.PublicKey)
	deadline := time.Now().Add(10 * time.Second)
	for tunnel.mux.way(member) == nil || tunnel.mux.way(member).Carrier.String() != "relay" {
		if time.Now().After(deadline) {
			t.Fatal("the gateway does not notice the relay")
		}
		time.Sleep(time.Millisecond)
	}
	l.bind.useUDP()
	if n, err := io.Copy(io.Discard, c); err != nil || n != 8<<20 {
		t.Errorf("received %d bytes, %v", n, err)
	}
}
