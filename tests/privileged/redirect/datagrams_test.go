// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// datagramApp answers each datagram with "app " before it.
func datagramApp(t *testing.T, port uint16) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(append([]byte("app "), buffer[:n]...), from)
		}
	}()
}

// exchange sends a datagram over a connected socket, which hears only who was called, and returns the answer.
func exchange(t *testing.T, conn net.Conn, payload []byte) []byte {
	t.Helper()
	if _, err := conn.Write(payload); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 65536)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

func TestDatagramsReachTheSidecarAndRepliesLeaveFromTheAppsPort(t *testing.T) {
	datagramApp(t, 5353)
	r := sidecar(t)
	datagrams, err := r.Datagrams(5353)
	if err != nil {
		t.Fatal(err)
	}
	targets := make(chan netip.AddrPort, 10)
	go func() {
		for {
			d, err := datagrams.Read()
			if err != nil {
				return
			}
			targets <- d.Target
			if err := datagrams.Reply(d, append([]byte("sidecar "), d.Payload...)); err != nil {
				t.Error(err)
			}
		}
	}()
	on := []redirect.Port{{Protocol: redirect.UDP, Number: 5353, Families: redirect.Families{IPv4: true, IPv6: true}}}
	for name, addr := range families {
		t.Run(name, func(t *testing.T) {
			conn := call(t, "udp", addr, 5353)
			set(t, r, nil)
			if got := exchange(t, conn, []byte("one")); string(got) != "app one" {
				t.Errorf("before: %q", got)
			}
			set(t, r, on)
			// Small ones, and one that travels in fragments.
			for _, payload := range [][]byte{[]byte("two"), {}, bytes.Repeat([]byte("x"), 9001)} {
				got := exchange(t, conn, payload)
				if want := append([]byte("sidecar "), payload...); !bytes.Equal(got, want) {
					t.Errorf("%d bytes: answer of %d, want %d", len(payload), len(got), len(want))
				}
				if target := <-targets; target != netip.AddrPortFrom(addr, 5353) {
					t.Errorf("called was %s", target)
				}
			}
			inside := callInside(t, "udp", addr, 5353)
			if got := exchange(t, inside, []byte("three")); string(got) != "app three" {
				t.Errorf("inside the pod: %q", got)
			}
			set(t, r, nil)
			if got := exchange(t, conn, []byte("four")); string(got) != "app four" {
				t.Errorf("after: %q", got)
			}
		})
	}
}

func TestClosedDatagramsGoToTheApp(t *testing.T) {
	datagramApp(t, 5354)
	r := sidecar(t)
	on := []redirect.Port{{Protocol: redirect.UDP, Number: 5354, Families: redirect.Families{IPv4: true}}}
	conn := call(t, "udp", podIPv4, 5354)
	for range 3 {
		datagrams, err := r.Datagrams(5354)
		if err != nil {
			t.Fatal(err)
		}
		set(t, r, on)
		if err := datagrams.Close(); err != nil {
			t.Fatal(err)
		}
		if got := exchange(t, conn, []byte("hello")); string(got) != "app hello" {
			t.Errorf("%q", got)
		}
	}
}
