// SPDX-License-Identifier: Apache-2.0

//go:build unix

package server

import (
	"context"
	"errors"
	"io"
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

var wholeLife = []string{
	"up 1 begins", "tunnel 1 up", "names of cluster.local on fake0", // there
	"names back", "tunnel 1 down", "key 1 forgotten", // and back
}

func TestSessionFromPrepareToDown(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	version, err := c.Version(t.Context())
	if err != nil || version != (api.VersionReply{Version: "1.2.3", Protocol: api.Protocol}) {
		t.Errorf("version %+v, %v", version, err)
	}
	session := r.up(c)
	if err := c.Down(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	r.wantEvents(wholeLife...)
	if err := c.Down(t.Context(), session); err != nil {
		t.Errorf("down again: %v", err)
	}
	status, err := c.Status(t.Context())
	if err != nil || status.State != api.StateIdle {
		t.Errorf("status %+v, %v", status, err)
	}
	_, err = c.Up(t.Context(), api.UpRequest{Session: session, Tunnel: tunnelSpec()})
	wantCode(t, err, api.CodeNoSession)
}

func TestSessionEndsWithTheConnection(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	r.up(c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	r.machine.until("key 1 forgotten")
	r.wantEvents(wholeLife...)
}

func TestSessionEndsWithTheService(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	session := r.up(c)
	watching := make(chan error, 1)
	seen := make(chan struct{})
	go func() {
		var once sync.Once
		watching <- c.Watch(t.Context(), session, func(api.Status) bool { once.Do(func() { close(seen) }); return true })
	}()
	<-seen
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantEvents(wholeLife...)
	if err := <-watching; err == nil {
		t.Error("the watch did not end")
	}
}

func TestCallerGoneDuringUpRollsBack(t *testing.T) {
	r := newRig(t)
	r.machine.upWait = make(chan struct{})
	c := r.dial()
	prepared, err := c.Prepare(t.Context(), api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := c.Up(ctx, api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()})
		result <- err
	}()
	r.machine.until("up 1 begins")
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r.machine.until("key 1 forgotten")
	r.wantEvents("up 1 begins", "up 1 rolled back", "key 1 forgotten")
}

func TestDownOvertakesUp(t *testing.T) {
	r := newRig(t)
	r.machine.upWait = make(chan struct{})
	c := r.dial()
	prepared, err := c.Prepare(t.Context(), api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := c.Up(t.Context(), api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()})
		result <- err
	}()
	r.machine.until("up 1 begins")
	if err := c.Down(t.Context(), prepared.Session); err != nil {
		t.Fatal(err)
	}
	r.wantEvents("up 1 begins", "up 1 rolled back", "key 1 forgotten")
	wantCode(t, <-result, api.CodeNoSession)
}

func TestSecondUserIsToldWhoIsConnected(t *testing.T) {
	r := newRig(t)
	alice, bob := localsocket.Identity{User: "1001", Name: "alice"}, localsocket.Identity{User: "1002", Name: "bob"}
	first, second := r.dialAs(alice), r.dialAs(bob)
	var prepared api.PrepareReply
	if err := call(t, first, api.VerbPrepare, api.PrepareRequest{Protocol: api.Protocol}, &prepared); err != nil {
		t.Fatal(err)
	}
	err := call(t, second, api.VerbPrepare, api.PrepareRequest{Protocol: api.Protocol}, nil)
	if refusal := wantCode(t, err, api.CodeBusy); !strings.Contains(refusal.Message, "alice") {
		t.Errorf("it does not name the owner: %s", refusal.Message)
	}
	// Knowing the session's name does not help.
	wantCode(t, call(t, second, api.VerbUp, api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()}, nil), api.CodeNoSession)
	wantCode(t, call(t, second, api.VerbWatch, api.WatchRequest{Session: prepared.Session}, nil), api.CodeNoSession)
	wantCode(t, call(t, second, api.VerbCarrier, api.CarrierRequest{Session: prepared.Session}, nil), api.CodeNoSession)
	if err := call(t, second, api.VerbDown, api.DownRequest{Session: prepared.Session}, nil); err != nil {
		t.Errorf("down of what is not one's own: %v", err)
	}
	var status api.Status
	if err := call(t, second, api.VerbStatus, nil, &status); err != nil || status.Session != "" || status.User != "alice" {
		t.Errorf("status for another user: %+v, %v", status, err)
	}
	if err := call(t, first, api.VerbStatus, nil, &status); err != nil || status.State != api.StatePrepared || status.Session != prepared.Session {
		t.Errorf("status for the owner: %+v, %v", status, err)
	}
}

func TestSameUserReplacesTheSession(t *testing.T) {
	r := newRig(t)
	first, second := r.dial(), r.dial()
	old := r.up(first)
	prepared, err := second.Prepare(t.Context(), api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	r.wantEvents(wholeLife...)
	if prepared.Session == old || prepared.PublicKey != "key 2" {
		t.Errorf("got %+v", prepared)
	}
	_, err = first.Update(t.Context(), api.UpdateRequest{Session: old})
	wantCode(t, err, api.CodeNoSession)
	// The end of the first connection does not end the second's session.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Up(t.Context(), api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()}); err != nil {
		t.Error(err)
	}
}

func TestStrangersGetAVersionAndNothingElse(t *testing.T) {
	r := newRig(t)
	conn := r.dialAs(localsocket.Identity{User: "666", Name: "mallory"})
	if err := call(t, conn, api.VerbVersion, nil, &api.VersionReply{}); err != nil {
		t.Error(err)
	}
	for _, verb := range []api.Verb{api.VerbPrepare, api.VerbUp, api.VerbUpdate, api.VerbDown, api.VerbStatus, api.VerbWatch, api.VerbCarrier, "format"} {
		refusal := wantCode(t, call(t, conn, verb, nil, nil), api.CodeDenied)
		if !strings.Contains(refusal.Hint, "install --user mallory") {
			t.Errorf("hint %q", refusal.Hint)
		}
	}
	for range maxDenied + 3 {
		r.dialAs(localsocket.Identity{User: "666", Name: "mallory"})
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if n := len(r.server.connections); n > maxDenied {
		t.Errorf("a stranger holds %d connections", n)
	}
}

func TestOneUserCantTakeAllConnections(t *testing.T) {
	r := newRig(t)
	for range maxPerUser + 5 {
		r.dialAs(localsocket.Identity{User: "1001", Name: "alice"})
	}
	if _, err := r.dial().Version(t.Context()); err != nil {
		t.Errorf("another user: %v", err)
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if n := len(r.server.connections); n != maxPerUser+1 {
		t.Errorf("%d connections are open", n)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	r := newRig(t)
	who := localsocket.Identity{User: "1001", Name: "alice"}
	wantCode(t, call(t, r.dialAs(who), "format", nil, nil), api.CodeBadRequest)
	wantCode(t, call(t, r.dialAs(who), api.VerbPrepare, map[string]any{"protocol": 1, "path": "/etc/shadow"}, nil), api.CodeBadRequest)
	wantCode(t, call(t, r.dialAs(who), api.VerbPrepare, api.PrepareRequest{Protocol: 99}, nil), api.CodeProtocol)

	conn := r.dialAs(who)
	go func() { _, _ = conn.Write([]byte{0xff, 0xff, 0xff, 0xff}) }()
	wantCode(t, api.ReadReply(conn, nil), api.CodeBadRequest)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection stays open after a frame out of bounds: %v", err)
	}
}

func TestSpeakingOutOfTurnEndsTheConnection(t *testing.T) {
	r := newRig(t)
	r.machine.upWait = make(chan struct{})
	conn := r.dialAs(localsocket.Identity{User: "1001", Name: "alice"})
	var prepared api.PrepareReply
	if err := call(t, conn, api.VerbPrepare, api.PrepareRequest{Protocol: api.Protocol}, &prepared); err != nil {
		t.Fatal(err)
	}
	if err := api.WriteRequest(conn, api.VerbUp, api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()}); err != nil {
		t.Fatal(err)
	}
	r.machine.until("up 1 begins")
	if _, err := conn.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	r.machine.until("key 1 forgotten")
	r.wantEvents("up 1 begins", "up 1 rolled back", "key 1 forgotten")
}

func TestFailedUpKeepsTheSessionAndTheCode(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	prepared, err := c.Prepare(t.Context(), api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	request := api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()}
	conflict := &api.Error{Code: api.CodeRouteConflict, Message: "overlap", Hint: "map it",
		Conflicts: []api.Conflict{{Wanted: request.Tunnel.Routes[0], Existing: api.LocalRoute{Interface: "wg0", Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}}
	r.machine.upErr = conflict
	_, err = c.Up(t.Context(), request)
	if refusal := wantCode(t, err, api.CodeRouteConflict); len(refusal.Conflicts) != 1 || refusal.Conflicts[0].Existing.Interface != "wg0" {
		t.Errorf("conflicts %+v", refusal.Conflicts)
	}
	r.machine.upErr = errors.New("no TUN device")
	_, err = c.Up(t.Context(), request)
	wantCode(t, err, api.CodeSystem)

	r.machine.upErr, r.machine.dnsErr = nil, errors.New("port 53 is taken")
	_, err = c.Up(t.Context(), request)
	wantCode(t, err, api.CodeDNS)
	r.machine.dnsErr = nil
	if _, err := c.Up(t.Context(), request); err != nil {
		t.Errorf("another try: %v", err)
	}
	r.wantEvents("up 1 begins", "up 1 begins", "up 1 begins", "tunnel 1 up", "tunnel 1 down",
		"up 1 begins", "tunnel 1 up", "names of cluster.local on fake0")
	_, err = c.Up(t.Context(), request)
	wantCode(t, err, api.CodeBadRequest)
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	session := r.up(c)
	routes := []netip.Prefix{netip.MustParsePrefix("10.200.0.0/16")}
	change := api.UpdateRequest{Session: session, Routes: &routes, DNS: &api.DNS{ClusterDomain: "other.local", Namespace: "shop"}}

	r.machine.dnsErr = errors.New("resolved is gone")
	_, err := c.Update(t.Context(), change)
	wantCode(t, err, api.CodeDNS)
	r.machine.dnsErr = nil
	if _, err := c.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	r.wantEvents("up 1 begins", "tunnel 1 up", "names of cluster.local on fake0",
		"routes [10.200.0.0/16]", "routes [10.96.0.0/12]",
		"routes [10.200.0.0/16]", "names of other.local")

	// A part that is fine by itself and not with the rest.
	exempt := []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}
	peers := []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	_, err = c.Update(t.Context(), api.UpdateRequest{Session: session, Routes: &exempt, Exempt: &peers})
	wantCode(t, err, api.CodeRouteRefused)
}

func TestWatchTellsOfChanges(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	prepared, err := c.Prepare(t.Context(), api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	states := make(chan api.State, 100)
	ended := make(chan error, 1)
	go func() {
		var last api.State
		ended <- c.Watch(t.Context(), prepared.Session, func(s api.Status) bool {
			if s.State != last {
				last = s.State
				states <- s.State
			}
			return true
		})
	}()
	if s := <-states; s != api.StatePrepared {
		t.Errorf("first %s", s)
	}
	if _, err := c.Up(t.Context(), api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()}); err != nil {
		t.Fatal(err)
	}
	if s := <-states; s != api.StateUp {
		t.Errorf("then %s", s)
	}
	if err := c.Down(t.Context(), prepared.Session); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-ended, api.CodeNoSession)
}

func TestCarrierIsARawStream(t *testing.T) {
	r := newRig(t)
	r.machine.upWait = make(chan struct{})
	c := r.dial()
	prepared, err := c.Prepare(t.Context(), api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	// The stream may come before the tunnel is up.
	type handed struct {
		conn net.Conn
		err  error
	}
	stream := make(chan handed, 1)
	go func() {
		conn, err := c.Carrier(t.Context(), prepared.Session)
		stream <- handed{conn, err}
	}()
	up := make(chan error, 1)
	go func() {
		_, err := c.Up(t.Context(), api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()})
		up <- err
	}()
	r.machine.until("up 1 begins")
	close(r.machine.upWait)
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	got := <-stream
	if got.err != nil {
		t.Fatal(got.err)
	}
	if _, err := io.WriteString(got.conn, "bytes of the gateway"); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, len("bytes of the gateway"))
	if _, err := io.ReadFull(got.conn, echo); err != nil || string(echo) != "bytes of the gateway" {
		t.Errorf("%q, %v", echo, err)
	}
	if err := c.Down(t.Context(), prepared.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := got.conn.Read(echo); err == nil {
		t.Error("the stream outlives its session")
	}
}

func TestFailureToPutBackIsNotHidden(t *testing.T) {
	r := newRig(t)
	r.machine.closeErr = errors.New("rule is stuck")
	c := r.dial()
	session := r.up(c)
	refusal := wantCode(t, c.Down(t.Context(), session), api.CodeSystem)
	if !strings.Contains(refusal.Message, "rule is stuck") || !strings.Contains(refusal.Hint, "restore") {
		t.Errorf("got %q, %q", refusal.Message, refusal.Hint)
	}
	if _, err := c.Prepare(t.Context(), api.PrepareRequest{}); err != nil {
		t.Errorf("the next session: %v", err)
	}
}

// TestVerbsThatRace is for the race detector: whatever the order, the machine is put back in the end.
func TestVerbsThatRace(t *testing.T) {
	r := newRig(t)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			c, err := client.Dial(t.Context(), r.socket)
			if err != nil {
				t.Error(err)
				return
			}
			for range 10 {
				// All of these may fail, since others replace the session all the time.
				prepared, err := c.Prepare(t.Context(), api.PrepareRequest{})
				if err != nil {
					continue
				}
				_, _ = c.Up(t.Context(), api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()})
				_, _ = c.Update(t.Context(), api.UpdateRequest{Session: prepared.Session})
				_ = c.Down(t.Context(), prepared.Session)
			}
			_ = c.Close()
		})
	}
	callers.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	ups, downs := 0, 0
	for _, event := range r.machine.all() {
		if strings.HasPrefix(event, "tunnel") && strings.HasSuffix(event, "up") {
			ups++
		}
		if strings.HasPrefix(event, "tunnel") && strings.HasSuffix(event, "down") {
			downs++
		}
	}
	if ups != downs {
		t.Errorf("%d tunnels went up and %d down", ups, downs)
	}
}
