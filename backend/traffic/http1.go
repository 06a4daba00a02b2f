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
