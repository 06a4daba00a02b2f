// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// dnsEcho answers with the question and who asked.
type dnsEcho struct{ asked atomic.Int64 }

func (d *dnsEcho) ServeDNS(_ context.Context, peer Peer, query []byte, tcp bool) []byte {
	d.asked.Add(1)
	if string(query) == "silence" {
		return nil
	}
	answer := append([]byte(peer.Name+" "), query...)
	if tcp {
		answer = append(answer, bytes.Repeat([]byte("+"), 30000)...)
	}
	return answer
}

func TestDNS(t *testing.T) {
	tunnel, cluster := newTunnel(t, Config{DNS: &dnsEcho{}})
	l := newLaptop(t, tunnel, 1, 1280)
	for _, address := range l.peer.Gateway {
		c := l.dialUDP(address.String(), 53)
		for _, question := range []string{"silence", "who", strings.Repeat("long ", 1000)} {
			if _, err := c.Write([]byte(question)); err != nil {
				t.Fatal(err)
			}
			if question == "silence" {
				continue
			}
			got := make([]byte, 65535)
			n, err := c.Read(got)
			if want := "laptop-1 " + question; err != nil || string(got[:n]) != want {
				t.Fatalf("UDP: %d bytes, %v", n, err)
			}
		}
		s := l.dial(address.String(), 53)
		for _, question := range []string{"one", "two"} {
			if _, err := s.Write(append([]byte{0, byte(len(question))}, question...)); err != nil {
				t.Fatal(err)
			}
			var length [2]byte
			if _, err := io.ReadFull(s, length[:]); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(s, got); err != nil || !strings.HasPrefix(string(got), "laptop-1 "+question+"++") || len(got) < 30000 {
				t.Fatalf("TCP: %d bytes, %v", len(got), err)
			}
		}
	}
	if cluster.last() != "" {
		t.Errorf("a question left the gateway: %s", cluster.last())
	}
	if _, err := l.net.DialTCPAddrPort(netip.AddrPortFrom(l.peer.Gateway[0], 54)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("another port of the gateway: %v, want refused", err)
	}
}
