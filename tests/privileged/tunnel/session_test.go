// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
	helper "github.com/fairlead-dev/fairlead/helper/tunnel"
)

// session is a tunnel that is up.
type session struct {
	*helper.Tunnel
	t       testing.TB
	journal *restore.Journal
}

// wantedTunnel is what the tests ask for.
func wantedTunnel(way api.CarrierName) api.Tunnel {
	return api.Tunnel{
		Addresses: []netip.Addr{laptopTunnel, laptopTunnel6},
		Peer: api.Peer{
			PublicKey: theGateway.publicKey, Addresses: []netip.Addr{gatewayTunnel, gatewayTunnel6},
			UDP: []netip.AddrPort{netip.AddrPortFrom(gatewayLink.Addr(), udpPort)},
		},
		Routes: []netip.Prefix{serviceRange, serviceRange6}, Exempt: []netip.Addr{gatewayLink.Addr()}, Carrier: way,
	}
}

// openJournal opens a journal of the test's own.
func openJournal(t testing.TB) *restore.Journal {
	t.Helper()
	journal, err := restore.Open(filepath.Join(t.TempDir(), "journal.json"), helper.Kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = journal.Close() })
	return journal
}

func testLog() *slog.Logger {
	if os.Getenv("FAIRLEAD_TEST_VERBOSE") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// up connects, with the relay stream open if that is the carrier.
func up(t testing.TB, wanted api.Tunnel) *session {
	t.Helper()
	machine := helper.NewMachine(testLog())
	prepared, err := machine.Prepare(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	theGateway.tell(t, "peer "+prepared.PublicKey())
	journal := openJournal(t)
	tunnel, err := prepared.Up(context.Background(), wanted, journal)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Tunnel: tunnel, t: t, journal: journal}
	t.Cleanup(func() {
		if err := tunnel.Close(context.Background()); err != nil {
			t.Errorf("close tunnel: %v", err)
		}
		prepared.Close()
		if left := journal.Entries(); len(left) > 0 {
			t.Errorf("entries left in the journal: %v", left)
		}
	})
	if wanted.Carrier == api.CarrierRelay {
		s.openRelay()
	}
	return s
}

// relayAddress is where relay streams go.
var relayAddress = gatewayLink.Addr()

// openRelay gives the tunnel a relay stream.
func (s *session) openRelay() {
	s.t.Helper()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(relayAddress, relayPort).String())
	if err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = s.ServeRelay(context.Background(), conn) }()
}

// carry changes the carrier.
func (s *session) carry(way api.CarrierName) {
	s.t.Helper()
	if err := s.Update(context.Background(), api.UpdateRequest{Carrier: &way}); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the status is as wanted.
func (s *session) await(what string, ok func(api.Status) bool) api.Status {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		status := s.Status()
		if ok(status) {
			return status
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %s; status %+v", what, patience, status)
		}
		select {
		case <-s.Changed():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
