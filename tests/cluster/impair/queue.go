// SPDX-License-Identifier: Apache-2.0

package impair

import (
	"sync"
	"time"
)

// queue holds frames that wait for their time, in order. One goroutine pushes and one pops.
type queue struct {
	mu       sync.Mutex
	changed  sync.Cond
	frames   []scheduled
	head     int
	bytes    int
	capacity int // bytes; more are dropped
	closed   bool
	spare    [][]byte
}

type scheduled struct {
	due   time.Duration
	frame []byte
}

func newQueue(capacity int) *queue {
	q := &queue{capacity: max(capacity, minimumQueue)}
	q.changed.L = &q.mu
	return q
}

// push adds a copy of frame. A full queue drops it.
func (q *queue) push(due time.Duration, frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+len(frame) > q.capacity {
		return
	}
	var buffer []byte
	if last := len(q.spare) - 1; last >= 0 {
		buffer, q.spare = q.spare[last], q.spare[:last]
	} else {
		buffer = make([]byte, 0, maximumFrame)
	}
	if q.head > 1024 && q.head*2 > len(q.frames) {
		q.frames = append(q.frames[:0], q.frames[q.head:]...)
		q.head = 0
	}
	q.frames = append(q.frames, scheduled{due, append(buffer[:0], frame...)})
	q.bytes += len(frame)
	q.changed.Signal()
}

// pop waits for the first frame and takes it; false when the queue is closed.
func (q *queue) pop() (time.Duration, []byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.frames) && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return 0, nil, false
	}
	first := q.frames[q.head]
	q.frames[q.head] = scheduled{}
	q.head++
	q.bytes -= len(first.frame)
	return first.due, first.frame, true
}

// recycle gives back a frame that pop returned.
func (q *queue) recycle(frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = append(q.spare, frame)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}
