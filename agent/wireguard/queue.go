// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"sync"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// blockSize is the size of the pieces of memory that queued frames lie in, in bytes. Each frame lies in one of them.
const blockSize = 256 << 10

// block is a piece of memory with frames in it.
type block struct {
	frames []byte
	memory [blockSize]byte
}

var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() *block {
	b := blocks.Get().(*block)
	b.frames = b.memory[:0]
	return b
}

// frameQueue holds frames that wait to be written. Its memory comes from a pool and goes back there, so that a burst
// costs no copies and an idle stream costs nothing. The zero value is empty.
type frameQueue struct {
	blocks []*block
	size   int
}

// push appends a datagram as a frame; one that no frame can hold is dropped.
func (q *frameQueue) push(datagram []byte) {
	need := carrier.FrameHeader + len(datagram)
	last := len(q.blocks) - 1
	if last < 0 || len(q.blocks[last].frames)+need > blockSize {
		q.blocks = append(q.blocks, newBlock())
		last++
	}
	b := q.blocks[last]
	frames, err := carrier.AppendFrame(b.frames, datagram)
	if err != nil {
		return
	}
	b.frames = frames
	q.size += need
}

// appendTo appends the frames to dst as slices that stay valid until release.
func (q *frameQueue) appendTo(dst [][]byte) [][]byte {
	for _, b := range q.blocks {
		if len(b.frames) > 0 {
			dst = append(dst, b.frames)
		}
	}
	return dst
}

// release empties the queue.
func (q *frameQueue) release() {
	for i, b := range q.blocks {
		blocks.Put(b)
		q.blocks[i] = nil
	}
	q.blocks, q.size = q.blocks[:0], 0
}
