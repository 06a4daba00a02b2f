// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// remote is the gateway's end of a relay stream, greeted.
type remote struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	ended  chan error // what serving the laptop's end returned
}

// openRemote serves one end of a pipe as the relay's stream.
func openRemote(t *testing.T, r *relay) *remote {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	m := &remote{t: t, conn: far, reader: bufio.NewReader(far), ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		stream, err := greet(context.Background(), near)
		if err == nil {
			err = r.set(stream)
		}
		close(ready)
		if err == nil {
			err = stream.run(context.Background())
			r.unset(stream)
		}
		m.ended <- err
	}()
	if err := carrier.ReadHello(m.reader); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write(carrier.Hello[:]); err != nil {
		t.Fatal(err)
	}
	<-ready
	return m
}

func (m *remote) write(bytes []byte) {
	m.t.Helper()
	if _, err := m.conn.Write(bytes); err != nil {
		m.t.Error(err)
	}
}

// receiveOne receives datagrams until there is one.
func receiveOne(t *testing.T, r *relay, stop chan struct{}) []byte {
	t.Helper()
	bufs, sizes := [][]byte{make([]byte, carrier.MaxDatagram)}, make([]int, 1)
	if _, err := r.receive(stop, bufs, sizes); err != nil {
		t.Fatal(err)
	}
	return bufs[0][:sizes[0]]
}

func TestRelay(t *testing.T) {
	r := newRelay()
	if err := r.send([][]byte{{1}}); !errors.Is(err, errNoRelay) {
		t.Errorf("send without a stream: %v", err)
	}
	m := openRemote(t, r)
	if err := r.send([][]byte{[]byte("one"), []byte("two")}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	for _, want := range []string{"one", "two"} {
		n, err := carrier.ReadDatagram(m.reader, buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
	}
	go m.write(frames(t, []byte("three"), []byte("four")))
	for _, want := range []string{"three", "four"} {
		if got := receiveOne(t, r, nil); string(got) != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
}

// TestRelayOutlivesReceiver stops the receiver in the middle of a frame, as WireGuard does when it re-opens its
// sockets, and loses nothing.
func TestRelayOutlivesReceiver(t *testing.T) {
	r := newRelay()
	m := openRemote(t, r)
	stream := frames(t, []byte("whole"), bytes.Repeat([]byte("half"), 1000))
	m.write(stream[:100])
	if got := receiveOne(t, r, nil); string(got) != "whole" {
		t.Fatalf("received %q", got)
	}
	stop := make(chan struct{})
	close(stop)
	bufs, sizes := [][]byte{make([]byte, carrier.MaxDatagram)}, make([]int, 1)
	if n, err := r.receive(stop, bufs, sizes); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("receive after stop: %d, %v", n, err)
	}
	go m.write(stream[100:])
	if got := receiveOne(t, r, nil); !bytes.Equal(got, bytes.Repeat([]byte("half"), 1000)) {
		t.Errorf("received %d bytes, want 4000 as sent", len(got))
	}
}

func TestRelayReplaced(t *testing.T) {
	r := newRelay()
	before := openRemote(t, r)
	after := openRemote(t, r)
	if err := <-before.ended; !errors.Is(err, errRelayReplaced) {
		t.Errorf("the stream before ended with %v", err)
	}
	go after.write(frames(t, []byte("new")))
	if got := receiveOne(t, r, nil); string(got) != "new" {
		t.Errorf("received %q", got)
	}
	r.close()
	if err := <-after.ended; !errors.Is(err, errRelayClosed) {
		t.Errorf("the stream ended with %v", err)
	}
	if err := r.set(&relayStream{}); !errors.Is(err, errRelayClosed) {
		t.Errorf("a stream after close: %v", err)
	}
}

func TestRelayEnds(t *testing.T) {
	t.Run("closed by the gateway", func(t *testing.T) {
		r := newRelay()
		m := openRemote(t, r)
		_ = m.conn.Close()
		if err := <-m.ended; !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
		if stream, _ := r.get(); stream != nil {
			t.Error("the stream is still in use")
		}
	})
	t.Run("malformed frame", func(t *testing.T) {
		r := newRelay()
		m := openRemote(t, r)
		stop := make(chan struct{})
		received := make(chan error, 1)
		go func() {
			_, err := r.receive(stop, [][]byte{make([]byte, 100)}, make([]int, 1))
			received <- err
		}()
		m.write([]byte{0, 0})
		if err := <-m.ended; !errors.Is(err, carrier.ErrEmptyFrame) {
			t.Errorf("ended with %v", err)
		}
		close(stop)
		if err := <-received; !errors.Is(err, net.ErrClosed) {
			t.Errorf("receive: %v", err)
		}
	})
}

func TestGreetRefuses(t *testing.T) {
	t.Run("another protocol", func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			_, _ = io.CopyN(io.Discard, far, int64(len(carrier.Hello)))
			_, _ = far.Write([]byte("HTTP/1.1"))
		}()
		if _, err := greet(context.Background(), near); !errors.Is(err, carrier.ErrHello) {
			t.Errorf("greet: %v", err)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = far.Close() }()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := greet(ctx, near); err == nil {
			t.Error("greeted after the context ended")
		}
	})
}
