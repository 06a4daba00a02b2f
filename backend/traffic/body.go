// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"time"
)

// half is one direction of an HTTP/1.1 connection.
type half struct {
	state state1
	left  int64  // bytes, of inLength and inChunk
	part  []byte // of a head or line that has not come whole
}

// unread says how many bytes that come next need not be seen.
func (h *half) unread() int64 {
	switch h.state {
	case inLength:
		return h.left
	case inChunk:
		return max(0, h.left-2) // but for the line end
	case untilEnd, tunnel:
		return plainPiece
	}
	return 0
}

// line cuts a line, or with head a whole head, off the bytes that have come. ok is false if it is too long; without an end
// there is no line yet.
func (h *half) line(p []byte, end string) (line, rest []byte, found, ok bool) {
	if len(h.part) == 0 {
		if i := bytes.Index(p, []byte(end)); i >= 0 {
			return p[:i+len(end)], p[i+len(end):], true, i <= maxHead
		}
		if len(p) > maxHead {
			return nil, nil, false, false
		}
		h.part = append(h.part, p...)
		return nil, nil, false, true
	}
	before := len(h.part)
	h.part = append(h.part, p[:min(len(p), maxHead+len(end))]...)
	from := max(0, before-len(end)+1)
	i := bytes.Index(h.part[from:], []byte(end))
	if i < 0 {
		return nil, nil, false, len(h.part) <= maxHead
	}
	line = h.part[:from+i+len(end)]
	rest = p[len(line)-before:]
	h.part = nil // line goes on living; what is not whole again needs new memory
	return line, rest, true, true
}

// body reads what is left of a body. It returns the bytes behind it; done says that it is whole.
func (h *half) body(p []byte) (rest []byte, used int, done, ok bool) {
	n := len(p)
	for {
		switch h.state {
		case inLength:
			take := min(int64(len(p)), h.left)
			h.left -= take
			p = p[take:]
			return p, n - len(p), h.left == 0, true
		case inChunk:
			take := min(int64(len(p)), h.left)
			h.left -= take
			p = p[take:]
			if h.left > 0 {
				return p, n - len(p), false, true
			}
			h.state = inSize
		case inSize:
			line, after, found, ok := h.line(p, "\r\n")
			if !ok || !found {
				return nil, n, false, ok
			}
			size, ok := chunkSize(line)
			if !ok {
				return nil, n, false, false
			}
			p = after
			h.state, h.left = inChunk, size+2
			if size == 0 {
				h.state = inTrailer
			}
		case inTrailer:
			line, after, found, ok := h.line(p, "\r\n")
			if !ok || !found {
				return nil, n, false, ok
			}
			p = after
			if len(line) == 2 {
				return p, n - len(p), true, true
			}
		case untilEnd:
			return nil, n, false, true
		default:
			return nil, n, false, false
		}
		if len(p) == 0 {
			return nil, n, false, true
		}
	}
}

// chunkSize reads the line before a chunk; extensions are left aside (RFC 9112, section 7.1).
func chunkSize(line []byte) (int64, bool) {
	var size int64
	digits := 0
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return size, digits > 0
		}
		if digits++; digits > 15 {
			return 0, false
		}
		size = size<<4 | int64(c)
	}
	return size, digits > 0
}

// framing is what a head says of the body behind it.
type framing struct {
	length    int64 // -1 for not said
	chunked   bool
	coded     bool // otherwise coded, so that it ends with the connection
	ambiguous bool // more than one length
}

func (f *framing) note(name, value []byte) {
	switch {
	case isName(name, "content-length"):
		length := int64(0)
		for _, c := range value {
			if c < '0' || c > '9' || length > 1<<56 {
				f.ambiguous = true
				return
			}
			length = length*10 + int64(c-'0')
		}
		f.ambiguous = f.ambiguous || len(value) == 0 || f.length >= 0 && f.length != length
		f.length = length
	case isName(name, "transfer-encoding"):
		f.chunked = hasToken(value, "chunked")
		f.coded = !f.chunked
	}
}

type requestHalf struct {
	half
	began   time.Time // when the first byte of the head came; zero between requests
	current *exchange // whose body is being read
}

type answerHalf struct{ half }
