// SPDX-License-Identifier: Apache-2.0

//go:build unix

package server

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
)

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
	wantCode(t, err, api.CodeReplaced)
	wantCode(t, first.Watch(t.Context(), old, func(api.Status) bool { return true }), api.CodeReplaced)
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
