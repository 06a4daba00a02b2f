// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// patience is how long something that must happen may take before the test gives up.
const patience = 15 * time.Second

func dialService(t testing.TB, addr netip.Addr, port uint16) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(addr, port).String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// exchange sends size random bytes to the echo service and checks that the same come back.
func exchange(t testing.TB, addr netip.Addr, size int) {
	t.Helper()
	conn := dialService(t, addr, echoPort)
	sent, got := sha256.New(), sha256.New()
	go func() {
		source := rand.NewChaCha8([32]byte{1})
		_, _ = io.CopyN(io.MultiWriter(conn, sent), source, int64(size))
		_ = conn.CloseWrite()
	}()
	_ = conn.SetReadDeadline(time.Now().Add(4 * patience))
	n, err := io.Copy(got, conn)
	if err != nil || n != int64(size) || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Fatalf("echo of %d bytes: got %d, same %v, error %v", size, n, bytes.Equal(sent.Sum(nil), got.Sum(nil)), err)
	}
}

// eachWay runs a test over both carriers.
func eachWay(t *testing.T, test func(t *testing.T, s *session)) {
	for _, way := range []api.CarrierName{api.CarrierUDP, api.CarrierRelay} {
		t.Run(string(way), func(t *testing.T) { test(t, up(t, wantedTunnel(way))) })
	}
}

func TestTCP(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *session) {
		for _, addr := range []netip.Addr{service, service6} {
			exchange(t, addr, 10)
			exchange(t, addr, 32<<20)
		}
	})
}

func TestRefusedStaysRefused(t *testing.T) {
	up(t, wantedTunnel(api.CarrierUDP))
	_, err := net.DialTimeout("tcp", netip.AddrPortFrom(service, closedPort).String(), patience)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial a closed port: %v, want connection refused", err)
	}
}

func TestUDP(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *session) {
		for _, addr := range []netip.Addr{service, service6} {
			conn, err := net.Dial("udp", netip.AddrPortFrom(addr, echoPort).String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			for _, size := range []int{1, 1200, 8000} {
				exchangePacket(t, conn, size)
			}
		}
	})
}

// exchangePacket sends one datagram, again if it is lost, until it comes back.
func exchangePacket(t testing.TB, conn net.Conn, size int) {
	t.Helper()
	sent, got := bytes.Repeat([]byte{7}, size), make([]byte, 65535)
	for try := range 10 {
		if try > 0 {
			t.Logf("try %d of %d bytes", try, size)
		}
		if _, err := conn.Write(sent); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(got)
		if err == nil && bytes.Equal(got[:n], sent) {
			return
		}
	}
	t.Fatalf("no echo of a datagram of %d bytes", size)
}

func TestPing(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *session) {
		for _, addr := range []netip.Addr{service, service6} {
			out, err := exec.Command("ping", "-c", "3", "-i", "0.1", "-W", "5", addr.String()).CombinedOutput()
			if err != nil {
				t.Errorf("ping %s: %v\n%s", addr, err, out)
			}
		}
	})
}

// TestMTU sees the MTU rise to what the link carries, and the relay's.
func TestMTU(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	s.await("MTU of Ethernet over IPv4", func(st api.Status) bool { return st.MTU == 1424 })
	s.openRelay()
	s.await("relay answers", func(st api.Status) bool { return st.Relay.Answered > 0 })
	s.carry(api.CarrierRelay)
	// It is the larger one as soon as the relay has answered quickly, which a busy machine may put off.
	s.await("MTU of the relay", func(st api.Status) bool { return st.MTU == 32768 || st.MTU == 65456 })
	exchange(t, service, 1<<20)
	s.carry(api.CarrierUDP)
	s.await("MTU of UDP again", func(st api.Status) bool { return st.MTU == 1424 })
	exchange(t, service, 1<<20)
}

// TestSwitchKeepsFlow changes carriers under a connection whose data is in flight.
func TestSwitchKeepsFlow(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierRelay))
	s.await("both carriers answer", func(st api.Status) bool { return st.Relay.Answered > 0 && st.UDP.Answered > 0 })
	conn := dialService(t, service, echoPort)
	source := rand.NewChaCha8([32]byte{2})
	sent, got := sha256.New(), sha256.New()
	stop := make(chan struct{})
	total := make(chan int64, 1)
	go func() {
		block, n := make([]byte, 64<<10), int64(0)
		for {
			select {
			case <-stop:
				_ = conn.CloseWrite()
				total <- n
				return
			default:
			}
			_, _ = source.Read(block)
			_, _ = sent.Write(block)
			if _, err := conn.Write(block); err != nil {
				t.Errorf("write: %v", err)
				total <- n
				return
			}
			n += int64(len(block))
		}
	}()
	received := make(chan int64, 1)
	progress := make(chan int, 1024)
	go func() {
		block, n := make([]byte, 64<<10), int64(0)
		for {
			m, err := conn.Read(block)
			_, _ = got.Write(block[:m])
			n += int64(m)
			select {
			case progress <- m:
			default:
			}
			if err != nil {
				received <- n
				return
			}
		}
	}()
	for i, way := range []api.CarrierName{api.CarrierUDP, api.CarrierRelay, api.CarrierUDP, api.CarrierRelay, api.CarrierUDP} {
		s.carry(way)
		began := time.Now()
		drain(progress)
		for moved := 0; moved < 8<<20; {
			select {
			case n := <-progress:
				moved += n
			case <-time.After(patience):
				t.Fatalf("switch %d to %s: the flow stands still", i, way)
			}
		}
		t.Logf("switch %d to %s: 8 MiB after %s", i, way, time.Since(began).Round(time.Millisecond))
	}
	close(stop)
	if n, m := <-total, <-received; n != m || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Fatalf("sent %d bytes, got %d, same %v", n, m, bytes.Equal(sent.Sum(nil), got.Sum(nil)))
	}
}

func drain(c chan int) {
	for len(c) > 0 {
		<-c
	}
}

// TestBlockedUDP sees that a silent carrier is reported, and that it is found again.
func TestBlockedUDP(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	s.await("UDP answers", func(st api.Status) bool { return st.UDP.Answered > 0 })
	theGateway.tell(t, "udp block")
	began := time.Now()
	s.await("silence is seen", func(st api.Status) bool { return st.UDP.Unanswered >= 3 })
	t.Logf("three probes overdue after %s", time.Since(began).Round(time.Millisecond))
	theGateway.tell(t, "udp allow")
	began = time.Now()
	s.await("life is seen", func(st api.Status) bool { return st.UDP.Unanswered == 0 })
	exchange(t, service, 1000)
	t.Logf("works again after %s", time.Since(began).Round(time.Millisecond))
}

// TestCut takes the laptop's link away for a while, as sleep does.
func TestCut(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	s.await("UDP answers", func(st api.Status) bool { return st.UDP.Answered > 0 })
	conn := dialService(t, service, echoPort)
	roundTrip(t, conn)
	setUplink(t, false)
	s.await("the cut is seen", func(st api.Status) bool { return st.UDP.Unanswered >= 4 && st.UDP.Error != "" })
	t.Logf("status says: %s", s.Status().UDP.Error)
	setUplink(t, true)
	began := time.Now()
	s.await("life is seen", func(st api.Status) bool { return st.UDP.Unanswered == 0 && st.UDP.Error == "" })
	roundTrip(t, conn)
	t.Logf("works again %s after the link", time.Since(began).Round(time.Millisecond))
}

func roundTrip(t testing.TB, conn net.Conn) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Time{})
}

// TestGatewayRestart replaces the gateway by one that knows no sessions.
func TestGatewayRestart(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	exchange(t, service, 1000)
	theGateway.tell(t, "restart")
	began := time.Now()
	exchange(t, service, 1000)
	t.Logf("works again after %s", time.Since(began).Round(time.Millisecond))
	_ = s
}

// TestRelayReplaced ends relay streams and opens new ones.
func TestRelayReplaced(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierRelay))
	exchange(t, service, 1000)
	for range 3 {
		s.openRelay()
		exchange(t, service, 1<<20)
	}
	theGateway.tell(t, "restart")
	s.await("the end is seen", func(st api.Status) bool { return !st.Relay.Configured })
	s.openRelay()
	exchange(t, service, 1000)
}

// TestInbound sees that the cluster reaches only the ports that were named.
func TestInbound(t *testing.T) {
	wanted := wantedTunnel(api.CarrierUDP)
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go accept(listener, echo)
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	s := up(t, wanted)
	exchange(t, service, 10)
	if answer, err := theGateway.ask(fmt.Sprintf("dial %d", port)); err == nil {
		t.Fatalf("the gateway reached a port that is not open: %s", answer)
	}
	ports := []uint16{port}
	if err := s.Update(context.Background(), api.UpdateRequest{InboundPorts: &ports}); err != nil {
		t.Fatal(err)
	}
	theGateway.tell(t, fmt.Sprintf("dial %d", port))
}

// TestLeavesNothing compares the machine before and after.
func TestLeavesNothing(t *testing.T) {
	before := machineState(t)
	t.Run("session", func(t *testing.T) {
		s := up(t, wantedTunnel(api.CarrierUDP))
		exchange(t, service, 1000)
		if machineState(t) == before {
			t.Error("the session changed nothing")
		}
		_ = s
	})
	if after := machineState(t); after != before {
		t.Errorf("the machine is not as it was\nbefore:\n%s\nafter:\n%s", before, after)
	}
}
