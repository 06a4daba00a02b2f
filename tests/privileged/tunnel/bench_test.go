// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	helper "github.com/fairlead-dev/fairlead/helper/tunnel"
)

// benchBytes is how much one iteration moves, over all streams.
const benchBytes = 256 << 20

// eachPath runs a benchmark over the plain link, which is the limit, and through the tunnel over both carriers.
func eachPath(b *testing.B, bench func(b *testing.B, target netip.Addr)) {
	b.Run("plain", func(b *testing.B) { bench(b, gatewayLink.Addr()) })
	b.Run("udp", func(b *testing.B) {
		s := up(b, wantedTunnel(api.CarrierUDP))
		s.await("MTU is found", func(st api.Status) bool { return st.MTU == 1424 })
		bench(b, service)
	})
	b.Run("relay", func(b *testing.B) {
		s := up(b, wantedTunnel(api.CarrierRelay))
		s.await("relay answers", func(st api.Status) bool { return st.Relay.Answered > 0 })
		bench(b, service)
	})
}

func BenchmarkTransfer(b *testing.B) {
	eachPath(b, func(b *testing.B, target netip.Addr) {
		for _, streams := range []int{1, 8} {
			b.Run(fmt.Sprintf("down%d", streams), func(b *testing.B) { transfer(b, target, streams, download) })
			b.Run(fmt.Sprintf("up%d", streams), func(b *testing.B) { transfer(b, target, streams, upload) })
		}
	})
}

func transfer(b *testing.B, target netip.Addr, streams int, move func(testing.TB, netip.Addr, int)) {
	b.SetBytes(benchBytes)
	for b.Loop() {
		var all sync.WaitGroup
		for range streams {
			all.Go(func() { move(b, target, benchBytes/streams) })
		}
		all.Wait()
	}
	rss, err := residentMemory(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(atoi(rss))/1024, "MiB-rss")
}

func download(t testing.TB, target netip.Addr, size int) {
	conn := openService(t, target, sourcePort)
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, size); err != nil {
		t.Error(err)
	}
	block := make([]byte, 256<<10)
	for total := 0; total < size; {
		n, err := conn.Read(block)
		if total += n; err != nil && total < size {
			t.Errorf("download ended after %d of %d bytes: %v", total, size, err)
			return
		}
	}
}

func upload(t testing.TB, target netip.Addr, size int) {
	conn := openService(t, target, sinkPort)
	defer func() { _ = conn.Close() }()
	block := make([]byte, 256<<10)
	for left := size; left > 0; {
		n, err := conn.Write(block[:min(left, len(block))])
		if err != nil {
			t.Error(err)
			return
		}
		left -= n
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || atoi(string(answer)) != size {
		t.Errorf("upload of %d bytes: arrived %q, error %v", size, answer, err)
	}
}

func openService(t testing.TB, target netip.Addr, port uint16) *net.TCPConn {
	conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(target, port).String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func BenchmarkRoundTrip(b *testing.B) {
	eachPath(b, func(b *testing.B, target netip.Addr) {
		conn := openService(b, target, echoPort)
		defer func() { _ = conn.Close() }()
		var took []time.Duration
		for b.Loop() {
			began := time.Now()
			roundTrip(b, conn)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
	})
}

// BenchmarkUpAndClose measures what the helper takes of a connect and a disconnect: from Up to the first answer of
// a service, and Close.
func BenchmarkUpAndClose(b *testing.B) {
	machine := helper.NewMachine(testLog())
	journal := openJournal(b)
	var set, answered, closed time.Duration
	for b.Loop() {
		prepared, err := machine.Prepare(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		theGateway.tell(b, "peer "+prepared.PublicKey())
		began := time.Now()
		tunnel, err := prepared.Up(context.Background(), wantedTunnel(api.CarrierUDP), journal)
		if err != nil {
			b.Fatal(err)
		}
		set += time.Since(began)
		conn := openService(b, service, echoPort)
		answered += time.Since(began)
		_ = conn.Close()
		began = time.Now()
		if err := tunnel.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
		closed += time.Since(began)
		prepared.Close()
	}
	for name, took := range map[string]time.Duration{"ms-up": set, "ms-answer": answered, "ms-close": closed} {
		b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), name)
	}
}
