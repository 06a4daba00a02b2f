// SPDX-License-Identifier: Apache-2.0

//go:build unix

package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

// rig is a server with a fake machine behind it.
type rig struct {
	t       *testing.T
	machine *fakeMachine
	server  *Server
	socket  string
	stop    func() error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	folder := t.TempDir()
	journal, err := restore.Open(filepath.Join(folder, "journal.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, machine: newFakeMachine(), socket: filepath.Join(folder, "h.sock")}
	r.server = New(Options{
		Version: "1.2.3", Machine: r.machine, Names: fakeNames{r.machine}, Journal: journal,
		Allowed: func(who localsocket.Identity) bool { return who.Name != "mallory" },
		Log:     slog.New(slog.DiscardHandler),
	})
	listener, err := localsocket.Listen(r.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ctx, listener) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-served, journal.Close())
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil && r.machine.closeErr == nil {
			t.Errorf("stop: %v", err)
		}
	})
	return r
}

func (r *rig) dial() *client.Client {
	r.t.Helper()
	c, err := client.Dial(r.t.Context(), r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialAs connects past the socket as somebody else.
func (r *rig) dialAs(who localsocket.Identity) net.Conn {
	ours, theirs := net.Pipe()
	r.server.begin(&localsocket.Conn{Conn: theirs, Identity: who})
	r.t.Cleanup(func() { _ = ours.Close() })
	return ours
}

func call(t *testing.T, conn net.Conn, verb api.Verb, body, reply any) error {
	t.Helper()
	if err := api.WriteRequest(conn, verb, body); err != nil {
		return err
	}
	return api.ReadReply(conn, reply)
}

func tunnelSpec() api.Tunnel {
	return api.Tunnel{
		Addresses: []netip.Addr{netip.MustParseAddr("198.19.0.3")},
		Peer: api.Peer{PublicKey: "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
			Addresses: []netip.Addr{netip.MustParseAddr("198.19.0.2")}},
		Routes: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")},
		DNS:    &api.DNS{ClusterDomain: "cluster.local", Namespace: "shop"},
	}
}

func (r *rig) up(c *client.Client) string {
	r.t.Helper()
	prepared, err := c.Prepare(r.t.Context(), api.PrepareRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	status, err := c.Up(r.t.Context(), api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()})
	if err != nil {
		r.t.Fatal(err)
	}
	if status.State != api.StateUp || status.Device != "fake0" || status.DNS.Mode != "fake" {
		r.t.Fatalf("after up: %+v", status)
	}
	return prepared.Session
}

func (r *rig) wantEvents(want ...string) {
	r.t.Helper()
	if got := r.machine.all(); !slices.Equal(got, want) {
		r.t.Errorf("what was done to the machine:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func wantCode(t *testing.T, err error, code api.Code) *api.Error {
	t.Helper()
	refusal, ok := errors.AsType[*api.Error](err)
	if !ok || refusal.Code != code {
		t.Fatalf("got %v, want an error with code %s", err, code)
	}
	if refusal.Hint == "" {
		t.Errorf("%q comes without a hint", refusal.Message)
	}
	return refusal
}
