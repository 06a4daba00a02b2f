// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

const (
	// sendQueueLimit is how many bytes may wait for the relay stream besides those being written. More would only
	// delay what is behind: over a slow line the queue is what a small request waits for.
	sendQueueLimit = 256 << 10
	// sendQueueWait is how long a sender waits for room before the oldest datagrams are dropped.
	sendQueueWait = 2 * time.Millisecond
)

// sendQueue is what waits to be written to a relay stream. It never grows beyond its limit: when the stream is slower
// than what comes, the oldest datagrams are dropped, which the congestion control of the flows inside notices
// soonest. Everything that waits is written with one call.
type sendQueue struct {
	mu      sync.Mutex
	first   []byte // frames before all others
	frames  []byte // frames that wait, whole ones
	head    int    // where the oldest begins
	dropped uint64 // datagrams
	closed  bool
	work    chan struct{} // buffered: there is something to write, or close was called
	room    chan struct{} // buffered: frames was emptied, or close was called
}

func newSendQueue() *sendQueue {
	return &sendQueue{work: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// push queues datagrams, dropping older ones if it must. Datagrams are copied.
func (q *sendQueue) push(datagrams [][]byte) error {
	size := 0
	for _, d := range datagrams {
		size += carrier.FrameHeader + len(d)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waitForRoom(size)
	if q.closed {
		return errNoRelay
	}
	q.makeRoom(size)
	for _, d := range datagrams {
		var err error
		if q.frames, err = carrier.AppendFrame(q.frames, d); err != nil {
			return fmt.Errorf("send over relay: %w", err)
		}
	}
	wake(q.work)
	return nil
}

// waitForRoom waits a moment for size bytes to fit. The caller holds mu, which is let go meanwhile.
func (q *sendQueue) waitForRoom(size int) {
	if q.fits(size) {
		return
	}
	timer := time.NewTimer(sendQueueWait)
	defer timer.Stop()
	for !q.fits(size) && !q.closed {
		q.mu.Unlock()
		select {
		case <-q.room:
			q.mu.Lock()
		case <-timer.C:
			q.mu.Lock()
			return
		}
	}
}

// fits reports whether size more bytes may wait. Anything fits an empty queue.
func (q *sendQueue) fits(size int) bool {
	waiting := len(q.frames) - q.head
	return waiting == 0 || waiting+size <= sendQueueLimit
}

// makeRoom drops the oldest frames until size more bytes fit.
func (q *sendQueue) makeRoom(size int) {
	for !q.fits(size) {
		q.head += carrier.FrameHeader + int(binary.BigEndian.Uint16(q.frames[q.head:]))
		q.dropped++
	}
	if q.head == len(q.frames) {
		q.frames, q.head = q.frames[:0], 0
	}
}

// pushFirst queues one datagram before all others.
func (q *sendQueue) pushFirst(datagram []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errNoRelay
	}
	if len(q.first) > sendQueueLimit { // the stream takes nothing
		q.first = q.first[:0]
	}
	var err error
	q.first, err = carrier.AppendFrame(q.first, datagram)
	wake(q.work)
	return err
}

// drain writes what is queued to w until close is called or w fails.
func (q *sendQueue) drain(w io.Writer) error {
	var spare []byte
	for {
		<-q.work
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return io.ErrClosedPipe
		}
		first, frames := q.first, q.frames
		head := q.head
		q.first, q.frames, q.head = nil, spare[:0], 0
		wake(q.room)
		q.mu.Unlock()
		for _, bytes := range [][]byte{first, frames[head:]} {
			if len(bytes) == 0 {
				continue
			}
			if _, err := w.Write(bytes); err != nil {
				return fmt.Errorf("write relay stream: %w", err)
			}
		}
		spare = frames
	}
}

func (q *sendQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	wake(q.work)
	wake(q.room)
}

// drops returns how many datagrams were dropped.
func (q *sendQueue) drops() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// wake fills a channel of one without waiting.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
