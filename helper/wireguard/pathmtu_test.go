// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net/netip"
	"testing"
	"time"
)

var (
	onIPv4 = netip.MustParseAddr("192.0.2.1")
	onIPv6 = netip.MustParseAddr("2001:db8::1")
)

func TestUDPMTU(t *testing.T) {
	for _, test := range []struct {
		pathMTU  int
		endpoint netip.Addr
		want     int
	}{
		{0, onIPv4, 1280}, {1280, onIPv4, 1280}, {1340, onIPv4, 1280}, {1380, onIPv4, 1320}, {1400, onIPv4, 1320},
		{1439, onIPv4, 1320}, {1440, onIPv4, 1380}, {1450, onIPv4, 1380}, {1460, onIPv4, 1400}, {1483, onIPv4, 1400},
		{1484, onIPv4, 1424}, {1500, onIPv4, 1424}, {9000, onIPv4, 1424},
		{0, onIPv6, 1280}, {1400, onIPv6, 1320}, {1480, onIPv6, 1400}, {1500, onIPv6, 1400}, {1504, onIPv6, 1424},
	} {
		if got := udpMTU(test.pathMTU, test.endpoint); got != test.want {
			t.Errorf("udpMTU(%d, %s) = %d, want %d", test.pathMTU, test.endpoint, got, test.want)
		}
	}
}

// path is a network on which IP packets up to limit bytes pass.
type path struct {
	mtu   pathMTU
	now   time.Time
	limit int
}

func newPath(limit int) *path {
	p := &path{now: time.Unix(1000, 0), limit: limit}
	p.mtu.reset(p.now, onIPv4)
	return p
}

// run lets time pass, and returns how many probes were sent.
func (p *path) run(d time.Duration) (sent int) {
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(10 * time.Millisecond) {
		for _, size := range p.mtu.due(p.now) {
			sent++
			if size <= p.limit {
				p.mtu.answered(p.now, size)
			}
		}
	}
	return sent
}

func TestPathMTU(t *testing.T) {
	for limit, want := range map[int]int{1500: 1484, 1484: 1484, 1483: 1460, 1450: 1440, 1400: 1380, 1340: 1340, 1300: 0} {
		p := newPath(limit)
		p.run(50 * time.Millisecond)
		if p.mtu.proven != want {
			t.Errorf("limit %d: proven %d, want %d", limit, p.mtu.proven, want)
		}
		if sent := p.run(30 * time.Second); sent > 30+pathRetries*len(udpMTUs) {
			t.Errorf("limit %d: %d probes in 30 s", limit, sent)
		}
		if p.mtu.proven != want {
			t.Errorf("limit %d after 30 s: proven %d, want %d", limit, p.mtu.proven, want)
		}
	}
}

func TestPathMTUFollowsPath(t *testing.T) {
	p := newPath(1500)
	p.run(time.Second)
	p.limit = 1400
	p.run(5 * time.Second)
	if p.mtu.proven != 1380 {
		t.Errorf("5 s after the path shrank: proven %d, want 1380", p.mtu.proven)
	}
	p.limit = 1500
	p.run(2 * pathRaiseAfter)
	if p.mtu.proven != 1484 {
		t.Errorf("two minutes after the path grew: proven %d, want 1484", p.mtu.proven)
	}
}

func TestPathMTURefused(t *testing.T) {
	p := newPath(1500)
	p.run(time.Second)
	p.mtu.refused(p.now, 16000)
	if p.mtu.proven != 1484 {
		t.Error("a datagram larger than any that is proven says nothing")
	}
	p.limit = 1400
	p.mtu.refused(p.now, 1484)
	if p.mtu.proven != 0 {
		t.Errorf("proven %d although the system refuses it", p.mtu.proven)
	}
	p.run(20 * time.Millisecond)
	if p.mtu.proven != 1380 {
		t.Errorf("proven %d, want 1380", p.mtu.proven)
	}
}

// TestPathMTULoss sees that single losses change nothing.
func TestPathMTULoss(t *testing.T) {
	p := newPath(1500)
	p.run(time.Second)
	for range 20 {
		p.limit = 0
		p.run(1100 * time.Millisecond)
		p.limit = 1500
		p.run(1100 * time.Millisecond)
		if p.mtu.proven != 1484 {
			t.Fatalf("proven %d after a loss", p.mtu.proven)
		}
	}
}
