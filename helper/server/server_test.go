// SPDX-License-Identifier: Apache-2.0

//go:build unix

package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
)

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
