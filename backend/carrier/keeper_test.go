// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// relayWorld is a gateway and a helper that a Keeper joins: each stream and each hand-over shows up in a channel.
type relayWorld struct {
	keeper  *Keeper
	opened  chan farStream
	handed  chan net.Conn // the helper's end
	refuse  chan error    // answers the next Open
	changes chan KeeperStatus
}

type farStream struct {
	target Target
	far    net.Conn // the gateway's end
}

func newRelayWorld(t *testing.T) *relayWorld {
	t.Helper()
	w := &relayWorld{opened: make(chan farStream, 8), handed: make(chan net.Conn, 8), refuse: make(chan error, 8), changes: make(chan KeeperStatus, 32)}
	w.keeper = &Keeper{
		Open: func(_ context.Context, target Target) (io.ReadWriteCloser, error) {
			select {
			case err := <-w.refuse:
				return nil, err
			default:
			}
			near, far := net.Pipe()
			w.opened <- farStream{target, far}
			return near, nil
		},
		Hand: func(context.Context) (net.Conn, error) {
			ours, helpers := net.Pipe()
			w.handed <- helpers
			return ours, nil
		},
		Changed: func(s KeeperStatus) { w.changes <- s },
		Log:     slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.keeper.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

var podA, podB = Target{"fairlead", "a", 8642}, Target{"fairlead", "b", 8642}

func TestKeeperCarriesBytesBothWays(t *testing.T) {
	w := newRelayWorld(t)
	w.keeper.SetTarget(podA)
	stream, helper := receive(t, w.opened), receive(t, w.handed)
	if stream.target != podA {
		t.Fatalf("opened %v, want %v", stream.target, podA)
	}
	for _, way := range []struct {
		name     string
		from, to net.Conn
	}{{"to the gateway", helper, stream.far}, {"to the helper", stream.far, helper}} {
		sent := make([]byte, 3*copyBuffer/2)
		if _, err := rand.Read(sent); err != nil {
			t.Fatal(err)
		}
		go way.from.Write(sent) //nolint:errcheck // the other end says what arrived
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%s: bytes changed on the way: %v", way.name, err)
		}
	}
	if s := receive(t, w.changes); !s.Open || s.Target != podA {
		t.Errorf("got %+v, want open", s)
	}
}

func TestKeeperOpensAnotherWhenAStreamEnds(t *testing.T) {
	w := newRelayWorld(t)
	w.keeper.SetTarget(podA)
	first, helper := receive(t, w.opened), receive(t, w.handed)
	if err := first.far.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := helper.Read(make([]byte, 1)); err == nil {
		t.Error("the helper's end must be closed with the stream")
	}
	receive(t, w.opened)
	receive(t, w.handed)
}

func TestKeeperFollowsTheTarget(t *testing.T) {
	w := newRelayWorld(t)
	w.keeper.SetTarget(podA)
	first := receive(t, w.opened)
	receive(t, w.handed)
	w.keeper.SetTarget(podA) // nothing new
	w.keeper.SetTarget(podB)
	second := receive(t, w.opened)
	if second.target != podB {
		t.Fatalf("opened %v, want %v", second.target, podB)
	}
	receive(t, w.handed)
	if _, err := first.far.Read(make([]byte, 1)); err == nil {
		t.Error("the stream before must be closed")
	}
}

func TestKeeperRenewsADeadStream(t *testing.T) {
	w := newRelayWorld(t)
	w.keeper.SetTarget(podA)
	receive(t, w.opened)
	receive(t, w.handed)
	receive(t, w.changes)
	w.refuse <- errors.New("connection refused")
	w.keeper.Renew()
	receive(t, w.opened)
	receive(t, w.handed)
	if s := receive(t, w.changes); !s.Open || s.Error != nil {
		t.Errorf("a failed renewal must not count while the stream before is open: %+v", s)
	}
}

func TestKeeperReportsWhyThereIsNoRelay(t *testing.T) {
	w := newRelayWorld(t)
	refused := errors.New("pods \"a\" not found")
	w.refuse <- refused
	w.keeper.SetTarget(podA)
	if s := receive(t, w.changes); s.Open || !errors.Is(s.Error, refused) {
		t.Errorf("got %+v, want %v", s, refused)
	}
	receive(t, w.opened)
}

func TestKeeperEndsAtOnceWhileTheNetworkIsGone(t *testing.T) {
	w := newRelayWorld(t)
	w.keeper.SetTarget(podA)
	receive(t, w.opened)
	helper := receive(t, w.handed)
	if _, err := helper.Write(make([]byte, 1000)); err != nil { // nobody reads it at the other end
		t.Fatal(err)
	}
	// Cleanup waits for Run to end.
}
