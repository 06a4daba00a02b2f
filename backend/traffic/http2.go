// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Kinds and flags of frames (RFC 9113, section 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	frameHead        = 9   // bytes
	settingTableSize = 0x1 // SETTINGS_HEADER_TABLE_SIZE
	usualTableSize   = 4096
	maxTableSize     = 64 << 10 // bytes of a table that is followed
)

// connection2 is an HTTP/2 connection as it passes. It is guarded by Observer.mu.
type connection2 struct {
	o       *Observer
	in, out half2
	streams map[uint32]*exchange2
}

// exchange2 is a request on a stream.
type exchange2 struct {
	exchange
	requestDone, answerDone bool
}

// half2 is one direction of an HTTP/2 connection.
type half2 struct {
	preface int // bytes that are still to come
	head    [frameHead]byte
	have    int // bytes of head
	left    int // bytes of the payload that are still to come
	payload []byte
	keep    bool // the payload is needed
	// A block of headers may be spread over several frames.
	block    []byte
	open     bool // more of it is to come
	stream   uint32
	last     bool // its stream ends with it
	promised bool // it is a promise of the server's
	decoder  *hpack.Decoder
	fields   fields2
}

// fields2 are the fields of one block that matter.
type fields2 struct {
	method, path, authority, status, protocol, contentType, grpcStatus, forwarded string
}

func newConnection2(o *Observer) *connection2 {
	c := &connection2{o: o, streams: map[uint32]*exchange2{}}
	c.in.preface = len(preface)
	for _, h := range []*half2{&c.in, &c.out} {
		h.decoder = hpack.NewDecoder(usualTableSize, h.fields.note)
		h.decoder.SetMaxStringLength(maxHead)
	}
	return c
}

func (f *fields2) note(h hpack.HeaderField) {
	switch h.Name {
	case ":method":
		f.method = h.Value
	case ":path":
		f.path = h.Value
	case ":authority":
		f.authority = h.Value
	case ":status":
		f.status = h.Value
	case ":protocol":
		f.protocol = h.Value
	case "content-type":
		f.contentType = h.Value
	case "grpc-status":
		f.grpcStatus = h.Value
	case "x-forwarded-for":
		f.forwarded = h.Value
	}
}

// read reads bytes of one direction. It reports false for what is no HTTP/2, or can't be followed.
func (c *connection2) read(p []byte, in bool) bool {
	h := &c.out
	if in {
		h = &c.in
	}
	if h.preface > 0 { // that it is the right one has been seen
		n := min(len(p), h.preface)
		h.preface -= n
		p = p[n:]
	}
	for len(p) > 0 {
		if h.have < frameHead {
			n := copy(h.head[h.have:], p)
			h.have += n
			p = p[n:]
			if h.have < frameHead {
				return true
			}
			if !c.beginFrame(h, in) {
				return false
			}
		} else {
			n := min(len(p), h.left)
			if h.keep {
				h.payload = append(h.payload, p[:n]...)
			}
			h.left -= n
			p = p[n:]
		}
		if h.left == 0 {
			h.have = 0
			if !c.frame(h, in) {
				return false
			}
		}
	}
	return true
}

func (h *half2) kind() byte  { return h.head[3] }
func (h *half2) flags() byte { return h.head[4] }
func (h *half2) id() uint32  { return binary.BigEndian.Uint32(h.head[5:]) & (1<<31 - 1) }

// beginFrame looks at the head of a frame.
func (c *connection2) beginFrame(h *half2, in bool) bool {
	h.left = int(h.head[0])<<16 | int(h.head[1])<<8 | int(h.head[2])
	h.payload = h.payload[:0]
	if h.open && (h.kind() != frameContinuation || h.id() != h.stream) {
		return false // a block is not interrupted (RFC 9113, section 4.3)
	}
	switch h.kind() {
	case frameData:
		h.keep = false
		if e := c.streams[h.id()]; e != nil {
			c.o.count(&e.exchange, uint64(h.left), in)
		}
		return true
	case frameHeaders, framePush, frameContinuation, frameSettings, frameReset:
		h.keep = true
		return h.left+len(h.block) <= maxHead
	}
	h.keep = false
	return true
}

// frame looks at a frame that has come whole.
func (c *connection2) frame(h *half2, in bool) bool {
	switch h.kind() {
	case frameData:
		if h.flags()&flagEndStream != 0 {
			c.endHalf(h.id(), in)
		}
	case frameReset:
		if e := c.streams[h.id()]; e != nil {
			switch {
			case in:
				e.record.Why = "the caller has cancelled it"
			case !e.answerDone:
				e.record.Why = "the program has cancelled it"
			}
			c.finish(h.id(), e)
		}
	case frameSettings:
		if h.flags()&flagAck == 0 {
			c.settings(h.payload, in)
		}
	case frameHeaders, framePush:
		block, ok := unpad(h)
		if !ok {
			return false
		}
		h.block, h.stream, h.open = append(h.block[:0], block...), h.id(), true
		h.last = h.kind() == frameHeaders && h.flags()&flagEndStream != 0
		h.promised = h.kind() == framePush
		return c.endBlock(h, in)
	case frameContinuation:
		if !h.open {
			return false
		}
		h.block = append(h.block, h.payload...)
		return c.endBlock(h, in)
	}
	return true
}

// unpad returns the block of headers inside a frame.
func unpad(h *half2) ([]byte, bool) {
	p, padding := h.payload, 0
	if h.flags()&flagPadded != 0 {
		if len(p) < 1 {
			return nil, false
		}
		padding, p = int(p[0]), p[1:]
	}
	skip := 0
	switch {
	case h.kind() == framePush:
		skip = 4
	case h.flags()&flagPriority != 0:
		skip = 5
	}
	if len(p) < skip+padding {
		return nil, false
	}
	return p[skip : len(p)-padding], true
}

// settings follows the size of the tables that headers are packed by: each end says what the other may use.
func (c *connection2) settings(payload []byte, in bool) {
	other := c.in.decoder
	if in {
		other = c.out.decoder
	}
	for ; len(payload) >= 6; payload = payload[6:] {
		if binary.BigEndian.Uint16(payload) == settingTableSize {
			other.SetAllowedMaxDynamicTableSize(min(binary.BigEndian.Uint32(payload[2:]), maxTableSize))
		}
	}
}

// endBlock reads a block of headers, if it is whole.
func (c *connection2) endBlock(h *half2, in bool) bool {
	if h.flags()&flagEndHeaders == 0 {
		return len(h.block) <= maxHead
	}
	h.open = false
	h.fields = fields2{}
	if _, err := h.decoder.Write(h.block); err != nil {
		return false
	}
	if err := h.decoder.Close(); err != nil {
		return false
	}
	size := uint64(len(h.block))
	h.block = h.block[:0]
	switch {
	case h.promised:
	case in:
		if !c.request(h, size) {
			return false
		}
	default:
		c.answer(h, size)
	}
	if h.last {
		c.endHalf(h.stream, in)
	}
	return true
}

// request begins a request, or reads its trailers.
func (c *connection2) request(h *half2, size uint64) bool {
	if e := c.streams[h.stream]; e != nil {
		c.o.count(&e.exchange, size, true)
		return true
	}
	if len(c.streams) >= maxPending {
		return false
	}
	f := &h.fields
	protocol := HTTP2
	switch {
	case strings.HasPrefix(f.contentType, "application/grpc"):
		protocol = GRPC
	case f.protocol == "websocket":
		protocol = WebSocket
	}
	e := &exchange2{exchange: *c.o.begin(protocol, time.Now())}
	r := &e.record
	path, _, _ := strings.Cut(f.path, "?")
	r.Method, r.Path, r.Host = showable(f.method, maxMethod), showable(path, maxPath), showable(f.authority, maxHost)
	r.Received = size
	if f.forwarded != "" {
		r.Client = lastAddress([]byte(f.forwarded), r.Client)
	}
	c.streams[h.stream] = e
	c.o.log.add(r)
	return true
}

// answer begins an answer, or reads its trailers.
func (c *connection2) answer(h *half2, size uint64) {
	e := c.streams[h.stream]
	if e == nil {
		return
	}
	c.o.count(&e.exchange, size, false)
	if status, err := strconv.Atoi(h.fields.status); err == nil && status >= 200 && status < 1000 {
		e.record.Status, e.headDone = status, true
	}
	if h.fields.grpcStatus != "" && e.record.Protocol == GRPC {
		e.record.GRPC = grpcStatus(h.fields.grpcStatus)
	}
	if !h.last && e.headDone {
		c.o.log.update(&e.record)
	}
}

// endHalf says that one direction of a stream has ended. A request ends with its answer.
func (c *connection2) endHalf(id uint32, in bool) {
	e := c.streams[id]
	if e == nil {
		return
	}
	if in {
		e.requestDone = true
	} else {
		e.answerDone = true
	}
	if e.answerDone {
		c.finish(id, e)
	}
}

func (c *connection2) finish(id uint32, e *exchange2) {
	delete(c.streams, id)
	c.o.finish(&e.exchange)
}

// end ends what is open.
func (c *connection2) end(each func(*exchange)) {
	for id, e := range c.streams {
		delete(c.streams, id)
		each(&e.exchange)
	}
}

// grpcCodes are the names of gRPC's status codes, by their numbers (grpc/doc/statuscodes.md).
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

func grpcStatus(text string) string {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < len(grpcCodes) {
		return grpcCodes[n]
	}
	return showable(text, maxMethod)
}
