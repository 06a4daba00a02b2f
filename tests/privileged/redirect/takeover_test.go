// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// sweepUntil sweeps as a sidecar does until as many connections as said bypass it.
func sweepUntil(t *testing.T, takeover *redirect.Takeover, bypassing int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, next, err := takeover.Sweep(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got == bypassing {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections bypass the sidecar, want %d", got, bypassing)
		}
		time.Sleep(next)
	}
}

// closed waits until the other end has closed the connection.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := readLine(conn); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the connection is there, or ended properly: %v", err)
	}
}

func TestGentleTakeover(t *testing.T) {
	tick := make(chan struct{})
	appWith(t, 8100, tick)
	defer close(tick)
	for name, addr := range families {
		t.Run(name, func(t *testing.T) {
			r := sidecar(t)
			set(t, r, nil)
			idle, asked, silent := call(t, "tcp", addr, 8100), call(t, "tcp", addr, 8100), call(t, "tcp", addr, 8100)
			expect(t, idle, "app")
			expect(t, asked, "app")
			if _, err := fmt.Fprintln(asked, "wait"); err != nil {
				t.Fatal(err)
			}
			inside := callInside(t, "tcp", addr, 8100)
			expect(t, inside, "app")
			set(t, r, tcp(8100))
			redirected := call(t, "tcp", addr, 8100)
			expect(t, redirected, "sidecar")

			takeover := redirect.NewTakeover(8100, redirect.Gentle, nil, time.Now())
			sweepUntil(t, takeover, 1) // the one whose caller waits for an answer
			closed(t, idle)
			closed(t, silent)
			tick <- struct{}{}
			if who, _ := answered(t, asked, "wait"); who != "app" {
				t.Errorf("%s answered", who)
			}
			sweepUntil(t, takeover, 0) // it has its answer
			closed(t, asked)
			expect(t, inside, "app")
			expect(t, redirected, "sidecar")
		})
	}
}

// TestGentleTakeoverOfBusyConnections: a caller whose pauses are always short is moved over, too, in one of them.
func TestGentleTakeoverOfBusyConnections(t *testing.T) {
	app(t, 8101)
	r := sidecar(t)
	conn := call(t, "tcp", podIPv4, 8101)
	expect(t, conn, "app")
	set(t, r, tcp(8101))
	lost := make(chan error)
	go func() {
		for {
			if _, err := fmt.Fprintln(conn, "again"); err != nil {
				lost <- err
				return
			}
			if _, err := readLine(conn); err != nil {
				lost <- err
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	sweepUntil(t, redirect.NewTakeover(8101, redirect.Gentle, nil, time.Now()), 0)
	<-lost
}

// TestGentleTakeoverLeavesStreams alone while the app writes by itself.
func TestGentleTakeoverLeavesStreams(t *testing.T) {
	tick := make(chan struct{})
	appWith(t, 8104, tick)
	r := sidecar(t)
	conn := call(t, "tcp", podIPv4, 8104)
	if _, err := fmt.Fprintln(conn, "push"); err != nil {
		t.Fatal(err)
	}
	set(t, r, tcp(8104))
	takeover := redirect.NewTakeover(8104, redirect.Gentle, nil, time.Now())
	look := func() {
		t.Helper()
		if bypassing, _, err := takeover.Sweep(time.Now()); bypassing != 1 || err != nil {
			t.Fatalf("%d, %v", bypassing, err)
		}
	}
	for i := range 10 {
		tick <- struct{}{}
		if _, err := readLine(conn); err != nil {
			t.Fatal(err)
		}
		look()
		if i == 0 {
			continue // only what the app writes between two looks shows a stream; until then a pause would count
		}
		time.Sleep(150 * time.Millisecond)
		look()
	}
	close(tick)
}

func TestForcedTakeover(t *testing.T) {
	app(t, 8102)
	r := sidecar(t)
	asked := call(t, "tcp", podIPv4, 8102)
	expect(t, asked, "app")
	if _, err := fmt.Fprintln(asked, "wait"); err != nil {
		t.Fatal(err)
	}
	set(t, r, tcp(8102))
	spared := redirect.NewTakeover(8102, redirect.Force, []netip.Addr{callerIPv4}, time.Now())
	if bypassing, _, err := spared.Sweep(time.Now()); bypassing != 1 || err != nil {
		t.Errorf("a spared caller: %d, %v", bypassing, err)
	}
	sweepUntil(t, redirect.NewTakeover(8102, redirect.Force, nil, time.Now()), 0)
	closed(t, asked)
}

func TestNoTakeover(t *testing.T) {
	app(t, 8103)
	r := sidecar(t)
	conn := call(t, "tcp", podIPv4, 8103)
	expect(t, conn, "app")
	set(t, r, tcp(8103))
	takeover := redirect.NewTakeover(8103, redirect.None, nil, time.Now().Add(-time.Minute))
	for range 3 {
		if bypassing, _, err := takeover.Sweep(time.Now()); bypassing != 1 || err != nil {
			t.Errorf("%d, %v", bypassing, err)
		}
	}
	expect(t, conn, "app")
}
