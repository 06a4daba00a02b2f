// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// families are the addresses of the pod by family.
var families = map[string]netip.Addr{"IPv4": podIPv4, "IPv6": podIPv6}

func TestNewConnectionsReachTheSidecar(t *testing.T) {
	app(t, 8080)
	app(t, 8081)
	r := sidecar(t)
	for name, addr := range families {
		t.Run(name, func(t *testing.T) {
			before := call(t, "tcp", addr, 8080)
			expect(t, before, "app")
			set(t, r, tcp(8080))
			who, called := ask(t, call(t, "tcp", addr, 8080), "hello")
			if want := netip.AddrPortFrom(addr, 8080).String(); who != "sidecar" || called != want {
				t.Errorf("%s answered at %s; want the sidecar at %s", who, called, want)
			}
			expect(t, before, "app") // goes on where it was
			expect(t, call(t, "tcp", addr, 8081), "app")
			expect(t, callInside(t, "tcp", addr, 8080), "app") // the way of the sidecar to the app

			during := call(t, "tcp", addr, 8080)
			expect(t, during, "sidecar")
			set(t, r, nil)
			expect(t, call(t, "tcp", addr, 8080), "app")
			expect(t, during, "sidecar")
		})
	}
}

// TestAppsThatListenOnLoopbackAreReached: callers reach the sidecar, and that the app at loopback.
func TestAppsThatListenOnLoopbackAreReached(t *testing.T) {
	app(t, 8082, "127.0.0.1", "::1")
	r := sidecar(t)
	set(t, r, tcp(8082))
	for name, addr := range families {
		t.Run(name, func(t *testing.T) { expect(t, call(t, "tcp", addr, 8082), "sidecar") })
	}
	expect(t, callInside(t, "tcp", netip.MustParseAddr("127.0.0.1"), 8082), "app")
	expect(t, callInside(t, "tcp", netip.MustParseAddr("::1"), 8082), "app")
}

func TestOnlyTheFamiliesThatWereAsked(t *testing.T) {
	app(t, 8083)
	r := sidecar(t)
	set(t, r, []redirect.Port{{Protocol: redirect.TCP, Number: 8083, Families: redirect.Families{IPv6: true}}})
	expect(t, call(t, "tcp", podIPv4, 8083), "app")
	expect(t, call(t, "tcp", podIPv6, 8083), "sidecar")
}

// TestLaterSidecarDecides: one that replaces another need not wait for its end.
func TestLaterSidecarDecides(t *testing.T) {
	app(t, 8084)
	first := sidecar(t)
	set(t, first, tcp(8084))
	process, said := startSidecar(t, 8084, 0)
	if said != "<nil>" {
		t.Fatal(said)
	}
	if err := first.Set(nil); err != nil {
		t.Fatal(err)
	}
	expect(t, call(t, "tcp", podIPv4, 8084), "sidecar")
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	expect(t, call(t, "tcp", podIPv4, 8084), "app")
}

// TestKilledSidecarLeavesNothing: the very next connection reaches the app.
func TestKilledSidecarLeavesNothing(t *testing.T) {
	app(t, 8085)
	for range 5 {
		process, said := startSidecar(t, 8085, 0)
		if said != "<nil>" {
			t.Fatal(said)
		}
		for _, addr := range families {
			expect(t, call(t, "tcp", addr, 8085), "sidecar")
		}
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = process.Wait()
		for _, addr := range families {
			expect(t, call(t, "tcp", addr, 8085), "app")
		}
	}
}

// TestCapabilities: two are needed, and enough; without them the error says so.
func TestCapabilities(t *testing.T) {
	const nobody = 65534
	t.Run("two are enough", func(t *testing.T) {
		app(t, 8086)
		_, said := startSidecar(t, 8086, nobody, unix.CAP_BPF, unix.CAP_NET_ADMIN)
		if said != "<nil>" {
			t.Fatal(said)
		}
		expect(t, call(t, "tcp", podIPv4, 8086), "sidecar")
	})
	for _, test := range []struct {
		name  string
		given []uintptr
		want  string
	}{
		{"none", nil, "lacks CAP_BPF and CAP_NET_ADMIN"},
		{"CAP_BPF alone", []uintptr{unix.CAP_BPF}, "lacks CAP_NET_ADMIN"},
		{"CAP_NET_ADMIN alone", []uintptr{unix.CAP_NET_ADMIN}, "lacks CAP_BPF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, said := startSidecar(t, 8087, nobody, test.given...); !strings.Contains(said, test.want) {
				t.Errorf("it says %q, which does not contain %q", said, test.want)
			}
		})
	}
}

func TestWhoListens(t *testing.T) {
	app(t, 8088)
	app(t, 8089, "127.0.0.1")
	app(t, 8090, podIPv4.String())
	app(t, 8091, podIPv6.String())
	listener, err := net.Listen("tcp4", ":8092")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	listener6, err := net.Listen("tcp6", ":8094")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener6.Close() }()
	r := sidecar(t)
	own := uint16(r.Listeners()[0].Addr().(*net.TCPAddr).Port)
	_ = call(t, "tcp", podIPv4, 8088)
	table, err := redirect.Listening(os.DirFS("/proc"))
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[uint16]redirect.Families{
		8088: {IPv4: true, IPv6: true}, 8089: {IPv4: true, IPv6: true},
		8090: {IPv4: true}, 8091: {IPv6: true}, 8092: {IPv4: true}, 8094: {IPv6: true}, 8099: {}, own: {},
	} {
		if got := table.Open(redirect.TCP, port); got != want {
			t.Errorf("port %d is open for %v, want %v", port, got, want)
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	app(b, 8093)
	r := sidecar(b)
	for _, redirected := range []bool{false, true} {
		b.Run(fmt.Sprintf("redirected=%v", redirected), func(b *testing.B) {
			set(b, r, nil)
			if redirected {
				set(b, r, tcp(8093))
			}
			for b.Loop() {
				_, _ = ask(b, call(b, "tcp", podIPv4, 8093), "hello")
			}
		})
	}
}
