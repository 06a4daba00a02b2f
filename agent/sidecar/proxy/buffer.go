// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"sync"
)

const (
	smallBuffer = 4 << 10  // bytes; what a connection holds while little passes
	largeBuffer = 64 << 10 // bytes; while a large message passes, and the bound of a head
)

var (
	small = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	large = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// buffer holds bytes that were read and not dealt with yet. It takes its memory from the pools when it is read into. The
// zero value is empty.
type buffer struct {
	b    []byte
	r, w int
}

func (b *buffer) bytes() []byte { return b.b[b.r:b.w] }
func (b *buffer) len() int      { return b.w - b.r }

func (b *buffer) consume(n int) {
	if b.r += n; b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// room makes space for reading, in a large buffer if wanted. It moves bytes. It reports false if there is none.
func (b *buffer) room(grow bool) bool {
	if b.b == nil {
		b.b = small.Get().(*[smallBuffer]byte)[:]
	}
	if b.r > 0 {
		b.w = copy(b.b, b.b[b.r:b.w])
		b.r = 0
	}
	if grow && len(b.b) < largeBuffer {
		bigger := large.Get().(*[largeBuffer]byte)[:]
		b.w = copy(bigger, b.b[:b.w])
		small.Put((*[smallBuffer]byte)(b.b))
		b.b = bigger
	}
	return b.w < len(b.b)
}

// shrink gives a large buffer back that is empty.
func (b *buffer) shrink() {
	if len(b.b) == largeBuffer && b.r == b.w {
		b.free()
	}
}

// free gives the memory back; what it held is lost.
func (b *buffer) free() {
	switch len(b.b) {
	case smallBuffer:
		small.Put((*[smallBuffer]byte)(b.b))
	case largeBuffer:
		large.Put((*[largeBuffer]byte)(b.b))
	}
	*b = buffer{}
}

// read reads once into the free space; see room.
func (b *buffer) read(r io.Reader) (int, error) {
	n, err := r.Read(b.b[b.w:])
	b.w += n
	return n, err
}
