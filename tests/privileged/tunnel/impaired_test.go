// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/tests/cluster/impair"
)

// A second link between laptop and gateway, which is as bad as a test wants it.
var (
	laptopBad  = netip.MustParsePrefix("198.51.100.1/24")
	gatewayBad = netip.MustParsePrefix("198.51.100.2/24")
)

// badLink makes the second link, and lets the relay go over it, too.
func badLink(t testing.TB, delay time.Duration, loss float64, rate float64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	options := impair.Options{Near: "near", Far: "far", Delay: delay, Loss: loss, Rate: rate, Seed: 1}
	go func() { done <- impair.Run(ctx, options) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(patience); ; {
		_, nearErr := net.InterfaceByName("near")
		_, farErr := net.InterfaceByName("far")
		if nearErr == nil && farErr == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the bad link does not come up")
		}
	}
	run(t, fmt.Sprintf("ip link set far netns %d", theGateway.process.Process.Pid))
	run(t, "ip addr add "+laptopBad.String()+" dev near")
	run(t, "ip link set near up")
	inGateway(t, "ip addr add "+gatewayBad.String()+" dev far")
	inGateway(t, "ip link set far up")
	relayAddress = gatewayBad.Addr()
	t.Cleanup(func() { relayAddress = gatewayLink.Addr() })
}

// BenchmarkImpaired moves data over a link of 200 Mbit/s and 10 ms each way, and measures a small request meanwhile.
func BenchmarkImpaired(b *testing.B) {
	for _, loss := range []float64{0, 0.005} {
		b.Run(fmt.Sprintf("loss%g", loss), func(b *testing.B) {
			badLink(b, 10*time.Millisecond, loss, 200e6)
			each := func(b *testing.B, target netip.Addr) {
				b.Run("down1", func(b *testing.B) { impaired(b, target, loss > 0, 1, download) })
				b.Run("up1", func(b *testing.B) { impaired(b, target, loss > 0, 1, upload) })
				b.Run("down8", func(b *testing.B) { impaired(b, target, loss > 0, 8, download) })
				b.Run("up8", func(b *testing.B) { impaired(b, target, loss > 0, 8, upload) })
			}
			b.Run("plain", func(b *testing.B) { each(b, gatewayBad.Addr()) })
			for _, way := range []api.CarrierName{api.CarrierUDP, api.CarrierRelay} {
				b.Run(string(way), func(b *testing.B) {
					wanted := wantedTunnel(way)
					wanted.Peer.UDP = []netip.AddrPort{netip.AddrPortFrom(gatewayBad.Addr(), udpPort)}
					s := up(b, wanted)
					s.await("MTU is found", func(st api.Status) bool { return st.UDP.PathMTU == 1484 })
					each(b, service)
				})
			}
		})
	}
}

func impaired(b *testing.B, target netip.Addr, lossy bool, streams int, move func(testing.TB, netip.Addr, int)) {
	size := 100 << 20
	if lossy {
		size = 20 << 20
	}
	b.SetBytes(int64(size))
	conn := openService(b, target, echoPort)
	defer func() { _ = conn.Close() }()
	var took []time.Duration
	for b.Loop() {
		done := make(chan struct{}, streams)
		for range streams {
			go func() { move(b, target, size/streams); done <- struct{}{} }()
		}
		for left := streams; left > 0; {
			select {
			case <-done:
				left--
			case <-time.After(50 * time.Millisecond):
				began := time.Now()
				roundTrip(b, conn)
				took = append(took, time.Since(began))
			}
		}
	}
	if slices.Sort(took); len(took) > 0 {
		b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
	}
}
