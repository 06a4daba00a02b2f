// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// gate is a stream that takes nothing until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	written bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.open
	return g.written.Write(b)
}

// TestSendQueueDropsOldest fills the queue before a stream that stands still.
func TestSendQueueDropsOldest(t *testing.T) {
	q := newSendQueue()
	g := &gate{open: make(chan struct{}), entered: make(chan struct{}, 1)}
	done := make(chan error, 1)
	if err := q.push([][]byte{{0xFF}}); err != nil { // the one being written
		t.Fatal(err)
	}
	go func() { done <- q.drain(g) }()
	<-g.entered
	const size, count = 60000, 8 // of which four fit
	for i := range count {
		if err := q.push([][]byte{bytes.Repeat([]byte{byte(i)}, size)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.pushFirst([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if got := q.drops(); got != count-4 {
		t.Errorf("%d datagrams dropped, want %d", got, count-4)
	}
	want := append([]byte{0xFF}, "first"...)
	for i := count - 4; i < count; i++ {
		want = append(want, byte(i))
	}
	close(g.open)
	if err := q.push([][]byte{{0xEE}}); err != nil {
		t.Fatal(err)
	}
	<-g.entered
	for len(q.work) > 0 || !idle(q) {
		<-g.entered
	}
	q.close()
	if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("drain ended with %v", err)
	}
	var got []byte
	buf := make([]byte, carrier.MaxDatagram)
	for r := bytes.NewReader(g.written.Bytes()); r.Len() > 0; {
		n, err := carrier.ReadDatagram(r, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == size {
			n = 1
		}
		got = append(got, buf[:n]...)
	}
	if want = append(want, 0xEE); !bytes.Equal(got, want) {
		t.Errorf("written %v, want %v", got, want)
	}
}

// idle reports whether nothing waits in the queue.
func idle(q *sendQueue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.frames) == q.head && len(q.first) == 0
}

func TestSendQueueClosed(t *testing.T) {
	q := newSendQueue()
	q.close()
	if err := q.push([][]byte{{1}}); !errors.Is(err, errNoRelay) {
		t.Errorf("push after close: %v", err)
	}
	if err := q.pushFirst([]byte{1}); !errors.Is(err, errNoRelay) {
		t.Errorf("pushFirst after close: %v", err)
	}
	if err := q.drain(io.Discard); err == nil {
		t.Error("drain after close goes on")
	}
}

func TestSendQueueRefusesWhatDoesNotFitAFrame(t *testing.T) {
	q := newSendQueue()
	if err := q.push([][]byte{make([]byte, carrier.MaxDatagram+1)}); err == nil {
		t.Error("a datagram that fits no frame was queued")
	}
	if err := q.push([][]byte{{}}); !errors.Is(err, carrier.ErrEmptyFrame) {
		t.Error("an empty datagram was queued")
	}
}
