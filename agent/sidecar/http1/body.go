// SPDX-License-Identifier: Apache-2.0

package http1

import "errors"

// bodyKind says how the end of a body is known: RFC 9112, section 6.
type bodyKind uint8

const (
	bodyNone bodyKind = iota
	bodyLength
	bodyChunked
	bodyUntilClose
)

const (
	maxChunkLine = 4 << 10  // bytes of a chunk's size with its extensions
	maxTrailer   = 64 << 10 // bytes of all trailer lines of a body
)

var errChunk = errors.New("the chunks of a body can't be told apart")

// Body follows a body through the bytes of its connection and finds its end. It changes and keeps nothing. The zero
// value is that of a message without one.
type Body struct {
	kind  bodyKind
	left  int64 // bytes of the body, or of the data of the present chunk
	state chunkState
	line  int // bytes of the present chunk line, or of all trailer lines
	empty bool
	done  bool // the body has ended; set where its kind is not bodyNone
}

// Finished reports whether nothing more of the body comes.
func (b *Body) Finished() bool { return b.kind == bodyNone || b.done }

// Empty reports whether there is no body at all.
func (b *Body) Empty() bool { return b.kind == bodyNone }

// IsChunked reports whether the body comes in chunks.
func (b *Body) IsChunked() bool { return b.kind == bodyChunked }

// EndsWithConnection reports whether the end of the connection is the body's.
func (b *Body) EndsWithConnection() bool { return b.kind == bodyUntilClose }

type chunkState uint8

const (
	chunkSizeFirst chunkState = iota
	chunkSize
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailer
	trailerLF
)

// Body is the request's body.
func (r *Request) Body() Body {
	switch {
	case r.framing.chunked:
		return Body{kind: bodyChunked}
	case r.framing.length > 0:
		return Body{kind: bodyLength, left: r.framing.length}
	}
	return Body{}
}

// Body is the body of a final response to a request with a method that is HEAD or not.
func (r *Response) Body(head bool) Body {
	switch {
	case head || r.Status < 200 || r.Status == 204 || r.Status == 304:
		return Body{}
	case r.framing.chunked:
		return Body{kind: bodyChunked}
	case r.framing.lengths == 0:
		return Body{kind: bodyUntilClose}
	case r.framing.length > 0:
		return Body{kind: bodyLength, left: r.framing.length}
	}
	return Body{}
}

// Take says how many bytes at the beginning of p belong to the body, and whether the body ends with them. After an error
// nothing can be said about bytes behind the n.
func (b *Body) Take(p []byte) (n int, done bool, err error) {
	switch b.kind {
	case bodyNone:
		return 0, true, nil
	case bodyUntilClose:
		return len(p), false, nil
	case bodyLength:
		n = int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		b.done = b.left == 0
		return n, b.done, nil
	}
	for n < len(p) {
		if b.state == chunkData {
			data := min(int64(len(p)-n), b.left)
			n += int(data)
			if b.left -= data; b.left == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		done, err := b.step(p[n])
		if err != nil {
			return n, false, err
		}
		n++
		if done {
			return n, true, nil
		}
	}
	return n, false, nil
}

// step takes one byte between the data of chunks: RFC 9112, section 7.1, to the letter, with extensions and trailers, and
// without what some servers tolerate besides.
func (b *Body) step(c byte) (done bool, err error) {
	b.line++
	switch b.state {
	case chunkSizeFirst, chunkSize:
		if digit, ok := unhex(c); ok {
			if b.left >= 1<<55 {
				return false, errChunk
			}
			b.left = b.left<<4 | int64(digit)
			b.state = chunkSize
			return false, nil
		}
		switch {
		case b.state == chunkSizeFirst:
			return false, errChunk
		case c == '\r':
			b.state = chunkSizeLF
		case c == ';':
			b.state = chunkExtension
		default:
			return false, errChunk
		}
	case chunkExtension:
		switch {
		case c == '\r':
			b.state = chunkSizeLF
		case c < ' ' && c != '\t' || c == 0x7f || b.line > maxChunkLine:
			return false, errChunk
		}
	case chunkSizeLF:
		if c != '\n' {
			return false, errChunk
		}
		b.line = 0
		if b.left > 0 {
			b.state = chunkData
		} else {
			b.state, b.empty = trailer, true
		}
	case chunkDataCR:
		if c != '\r' {
			return false, errChunk
		}
		b.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return false, errChunk
		}
		b.state, b.line = chunkSizeFirst, 0
	case trailer:
		switch {
		case c == '\r':
			b.state = trailerLF
		case c < ' ' && c != '\t' || c == 0x7f || b.line > maxTrailer:
			return false, errChunk
		default:
			b.empty = false
		}
	case trailerLF:
		if c != '\n' {
			return false, errChunk
		}
		if b.empty {
			b.done = true
			return true, nil
		}
		b.state, b.empty = trailer, true
	}
	return false, nil
}

// Bulk is how many of the next bytes belong to the body whatever they are; -1: all that come.
func (b *Body) Bulk() int64 {
	switch {
	case b.kind == bodyUntilClose:
		return -1
	case b.kind == bodyLength, b.kind == bodyChunked && b.state == chunkData:
		return b.left
	}
	return 0
}

// Skip takes n bytes, of those that Bulk spoke of, that went by unseen. It reports whether the body ends with them.
func (b *Body) Skip(n int64) (done bool) {
	if b.kind == bodyUntilClose {
		return false
	}
	if b.left -= n; b.left == 0 && b.kind == bodyChunked {
		b.state = chunkDataCR
		return false
	}
	b.done = b.left == 0
	return b.done
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
