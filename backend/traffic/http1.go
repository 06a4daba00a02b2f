// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"time"
)

// state1 is where the reading of a stream of HTTP/1.1 messages stands (RFC 9112).
type state1 uint8

const (
	inHead    state1 = iota
	inLength         // in a body of known length
	inSize           // in the line with the size of a chunk
	inChunk          // in a chunk and the line end behind it
	inTrailer        // in the fields behind the last chunk
	untilEnd         // in a body that ends with the connection
	switching        // behind a request for another protocol, before its answer
	tunnel           // in another protocol
)

// half is one direction of an HTTP/1.1 connection.
type half struct {
	state state1
	left  int64  // bytes, of inLength and inChunk
	part  []byte // of a head or line that has not come whole
}

type requestHalf struct {
	half
	began   time.Time // when the first byte of the head came; zero between requests
	current *exchange // whose body is being read
}

type answerHalf struct{ half }

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

// readRequests reads bytes on their way to the program. It reports false for what is no HTTP/1.1.
func (o *Observer) readRequests(p []byte) bool {
	h := &o.request
	for len(p) > 0 {
		switch h.state {
		case inHead:
			if h.began.IsZero() {
				if p = bytes.TrimLeft(p, "\r\n"); len(p) == 0 { // which clients may send between requests
					return true
				}
				h.began = time.Now()
			}
			head, rest, found, ok := h.line(p, "\r\n\r\n")
			if !ok || !found {
				return ok
			}
			if !o.beginRequest(head) {
				return false
			}
			p = rest
		case switching:
			e := h.current
			switch {
			case e.switched:
				h.state = tunnel
			case e.headDone:
				h.state = inHead
			default:
				return false // nothing may follow before the answer
			}
		case tunnel:
			o.count(h.current, uint64(len(p)), true)
			return true
		default:
			rest, used, done, ok := h.body(p)
			o.count(h.current, uint64(used), true)
			if !ok {
				return false
			}
			if done {
				h.state = inHead
			}
			p = rest
		}
	}
	return true
}

// requestBody counts bytes of a request's body that were not seen.
func (o *Observer) requestBody(n int64) {
	h := &o.request
	o.count(h.current, uint64(n), true)
	if h.state == inLength || h.state == inChunk {
		h.left = max(0, h.left-n)
		if h.state == inLength && h.left == 0 {
			h.state = inHead
		}
	}
}

// answerBody counts bytes of an answer's body that were not seen.
func (o *Observer) answerBody(n int64) {
	if len(o.pending) == 0 {
		return
	}
	h := &o.answer
	o.count(o.pending[0], uint64(n), false)
	if h.state == inLength || h.state == inChunk {
		h.left = max(0, h.left-n)
		if h.state == inLength && h.left == 0 {
			o.answered()
		}
	}
}

// readAnswers reads bytes on their way from the program. It reports false for what is no HTTP/1.1.
func (o *Observer) readAnswers(p []byte) bool {
	h := &o.answer
	for len(p) > 0 {
		if len(o.pending) == 0 { // an answer to nothing
			return false
		}
		e := o.pending[0]
		switch h.state {
		case inHead:
			head, rest, found, ok := h.line(p, "\r\n\r\n")
			if !ok || !found {
				return ok
			}
			o.count(e, uint64(len(head)), false)
			if !o.beginAnswer(e, head) {
				return false
			}
			p = rest
		case tunnel:
			o.count(e, uint64(len(p)), false)
			return true
		default:
			rest, used, done, ok := h.body(p)
			o.count(e, uint64(used), false)
			if !ok {
				return false
			}
			if done {
				o.answered()
			}
			p = rest
		}
	}
	return true
}

// answered ends the oldest request that waits.
func (o *Observer) answered() {
	o.finish(o.pending[0])
	o.pending[0] = nil
	o.pending = o.pending[1:]
	o.answer.state = inHead
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

// beginRequest reads the head of a request.
func (o *Observer) beginRequest(head []byte) bool {
	h := &o.request
	if len(o.pending) >= maxPending {
		return false
	}
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	method, rest, ok := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || len(method) == 0 || len(method) > maxMethod || len(target) == 0 || !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		return false
	}
	e := o.begin(HTTP1, h.began)
	h.began, h.current = time.Time{}, e
	r := &e.record
	r.Method, r.Path = methodName(method), pathOf(target)
	r.Received = uint64(len(head))
	f := framing{length: -1}
	upgrades := false
	for name, value := range headerFields(fields) {
		switch len(name) {
		case len("host"):
			if isName(name, "host") {
				r.Host = showable(value, maxHost)
			}
		case len("upgrade"):
			if isName(name, "upgrade") {
				upgrades, e.webSocket = true, hasToken(value, "websocket")
			}
		case len("connection"):
			if isName(name, "connection") {
				e.switches = hasToken(value, "upgrade")
			}
		case len("x-forwarded-for"):
			if isName(name, "x-forwarded-for") {
				r.Client = lastAddress(value, r.Client)
			}
		}
		f.note(name, value)
	}
	if f.ambiguous || f.coded {
		return false
	}
	e.noBody = r.Method == "HEAD"
	e.switches = e.switches && upgrades || r.Method == "CONNECT"
	switch {
	case f.chunked:
		h.state = inSize
	case f.length > 0:
		h.state, h.left = inLength, f.length
	case e.switches:
		h.state = switching
	}
	o.pending = append(o.pending, e)
	o.log.add(r)
	return true
}

// beginAnswer reads the head of an answer.
func (o *Observer) beginAnswer(e *exchange, head []byte) bool {
	h := &o.answer
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return false
	}
	status := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false
		}
		status = status*10 + int(c-'0')
	}
	if status >= 100 && status < 200 && status != 101 {
		return true // the real one follows
	}
	e.record.Status, e.headDone = status, true
	f := framing{length: -1}
	for name, value := range headerFields(fields) {
		f.note(name, value)
	}
	if f.ambiguous {
		return false
	}
	switch {
	case status == 101, e.record.Method == "CONNECT" && status/100 == 2:
		if !e.switches {
			return false
		}
		e.switched = true
		if e.webSocket {
			e.record.Protocol = WebSocket
		}
		h.state = tunnel
	case e.noBody || status == 204 || status == 304:
		o.answered()
		return true
	case f.chunked:
		h.state = inSize
	case f.length == 0 && !f.coded:
		o.answered()
		return true
	case f.length > 0 && !f.coded:
		h.state, h.left = inLength, f.length
	default:
		h.state = untilEnd
	}
	o.log.update(&e.record) // it may go on for long
	return true
}
