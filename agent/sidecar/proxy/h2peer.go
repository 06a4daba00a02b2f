// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"golang.org/x/net/http2/hpack"
)

const (
	// h2StreamWindow and h2ConnWindow are how much we let a peer send ahead, in bytes. What was received is credited when it
	// has been sent on, so they bound what is held.
	h2StreamWindow = 512 << 10
	h2ConnWindow   = 1 << 20
	// h2CreditAfter is how much is sent on before a peer is told.
	h2CreditAfter = 64 << 10
	// h2OutData is how many bytes wait for a writer before data is held back, h2OutBound before the connection is given up:
	// a peer that makes us say so much without reading it is not a well-meaning one.
	h2OutData  = 64 << 10
	h2OutBound = 4 << 20
)

// h2peer is one HTTP/2 connection: with the caller, the app or a laptop. h2conn.mu guards it, but for what its two goroutines
// own. Nothing is ever written with the lock held, and no reader waits for a writer.
type h2peer struct {
	h    *h2conn
	rule *rule // whose laptop it is
	conn net.Conn
	r    *bufio.Reader
	wake chan struct{} // for the writer

	decoder *hpack.Decoder // of the reader
	block   headerBlock    // of the reader

	out     []byte
	credits []h2credit
	encoder *hpack.Encoder
	encoded bytes.Buffer

	halves   map[uint32]*h2half
	waiting  []*h2half // that have something to send
	window   int64     // what we may send on the connection
	initial  int64     // on a new stream
	maxFrame int
	streams  uint32 // at once; before the peer has said it, one goes ahead
	next     uint32 // id of the next stream that we open
	held     int    // bytes received that have not been sent on
	credit   int    // to be returned for what was sent on

	ready    bool // connected
	begun    bool // a SETTINGS frame has come
	goneAway bool // takes no new streams
	last     bool // nothing is to be written after what waits
	unread   bool // what still comes is not read as frames
	ended    bool
}

// h2credit is what a source is to be told when bytes have been written.
type h2credit struct {
	from *h2half
	n    int
}

func newH2Peer(h *h2conn, r *rule) *h2peer {
	p := &h2peer{h: h, rule: r, wake: make(chan struct{}, 1), halves: map[uint32]*h2half{}, window: h2DefaultWindow, initial: h2DefaultWindow,
		maxFrame: h2MaxFrame, streams: 1, next: 1}
	p.decoder = hpack.NewDecoder(4096, nil)
	p.decoder.SetMaxStringLength(h2MaxHeaders)
	p.encoder = hpack.NewEncoder(&p.encoded)
	return p
}

// start begins to talk. The lock is held.
func (p *h2peer) start(conn net.Conn, first []byte) {
	p.conn, p.ready = conn, true
	p.r = bufio.NewReaderSize(conn, smallBuffer)
	if len(first) > 0 {
		p.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first), conn), smallBuffer)
	}
	go p.write()
	if p != p.h.down {
		go p.read()
	}
	p.flush()
}

// greet queues what every connection begins with.
func (p *h2peer) greet() {
	settings := [][2]uint32{{settingInitialWindow, h2StreamWindow}, {settingMaxHeaderList, h2MaxHeaders}}
	if p != p.h.down {
		p.out = append(p.out, preface...)
		settings = append(settings, [2]uint32{settingPush, 0})
	}
	p.out = appendSettings(p.out, settings...)
	p.out = appendWindow(p.out, 0, h2ConnWindow-h2DefaultWindow)
	p.poke()
}

func (p *h2peer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// read takes what comes until the connection ends.
func (p *h2peer) read() {
	defer p.h.caller.guard()
	var buf []byte
	for {
		if p.r.Buffered() == 0 && cap(buf) > smallBuffer {
			buf = nil // while it is idle
		}
		var f frame
		var err error
		if f, buf, err = readFrame(p.r, buf); err == nil {
			err = p.take(&f)
		}
		if err != nil {
			p.h.lost(p, err)
			return
		}
	}
}

// take deals with one frame.
func (p *h2peer) take(f *frame) error {
	if p.block.stream != 0 && f.kind != frameContinuation {
		return h2Protocol
	}
	switch f.kind {
	case frameHeaders, frameContinuation:
		stream := f.stream
		done, err := p.block.add(f)
		if err != nil || !done {
			return err
		}
		fields, err := p.block.decode(p.decoder)
		if err != nil {
			return err
		}
		return p.h.headers(p, stream, fields, p.block.end)
	case frameData:
		content, ok := f.content()
		if !ok || f.stream == 0 {
			return h2Protocol
		}
		return p.h.data(p, f.stream, content, len(f.payload)-len(content), f.flags&flagEndStream != 0)
	case frameReset:
		if len(f.payload) != 4 {
			return h2FrameSize
		}
		p.h.resetStream(p, f.stream, h2Code(binary.BigEndian.Uint32(f.payload)))
	case frameSettings:
		if f.flags&flagAck != 0 {
			return nil
		}
		if len(f.payload)%6 != 0 {
			return h2FrameSize
		}
		return p.settings(f.payload)
	case framePing:
		if len(f.payload) != 8 {
			return h2FrameSize
		}
		p.h.ping(p, f)
	case frameGoAway:
		if len(f.payload) < 8 {
			return h2FrameSize
		}
		p.h.wentAway(p, binary.BigEndian.Uint32(f.payload)&h2MaxWindow, h2Code(binary.BigEndian.Uint32(f.payload[4:])), f.payload[8:])
	case frameWindow:
		if len(f.payload) != 4 {
			return h2FrameSize
		}
		return p.windowUpdate(f.stream, int64(binary.BigEndian.Uint32(f.payload)&h2MaxWindow))
	case framePush: // we said no
		return h2Protocol
	}
	return nil // frames of other types are to be ignored: RFC 9113, section 4.1
}

func (p *h2peer) settings(b []byte) error {
	h := p.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if !p.begun {
		p.begun, p.streams = true, h2MaxWindow
	}
	for ; len(b) > 0; b = b[6:] {
		value := binary.BigEndian.Uint32(b[2:])
		switch binary.BigEndian.Uint16(b) {
		case settingTableSize:
			p.encoder.SetMaxDynamicTableSizeLimit(min(value, 64<<10))
			p.encoder.SetMaxDynamicTableSize(min(value, 4096))
		case settingMaxStreams:
			p.streams = value
			h.tellCaller(p, settingMaxStreams, value)
		case settingConnect:
			h.tellCaller(p, settingConnect, value)
		case settingInitialWindow:
			if value > h2MaxWindow {
				return h2FlowControl
			}
			change := int64(value) - p.initial
			p.initial = int64(value)
			for _, half := range p.halves {
				half.window += change
			}
		case settingMaxFrame:
			if value < 16<<10 || value >= 1<<24 {
				return h2Protocol
			}
			p.maxFrame = int(min(value, 64<<10))
		}
	}
	p.out = appendFrame(p.out, frameSettings, flagAck, 0, nil)
	p.flush()
	return p.bound()
}

func (p *h2peer) windowUpdate(stream uint32, n int64) error {
	h := p.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if stream == 0 {
		if p.window += n; n == 0 || p.window > h2MaxWindow {
			return h2FlowControl
		}
	} else if half := p.halves[stream]; half != nil {
		if half.window += n; n == 0 || half.window > h2MaxWindow {
			return h2FlowControl
		}
		p.await(half)
	}
	p.flush()
	return nil
}

// bound gives up on a peer that does not read what it makes us say.
func (p *h2peer) bound() error {
	p.poke()
	if len(p.out) > h2OutBound {
		return h2Calm
	}
	return nil
}

// await notes that a half has something to send.
func (p *h2peer) await(half *h2half) {
	if !half.queued {
		half.queued = true
		p.waiting = append(p.waiting, half)
	}
}

// flush queues for the writer what can be sent: whole heads, and data in turns, as much as the windows and the bound let.
func (p *h2peer) flush() {
	if !p.ready || p.ended {
		return
	}
	for progress := true; progress; {
		progress = false
		list := p.waiting
		p.waiting = nil
		for _, half := range list {
			half.queued = false
			if half.closed || half.peer != p {
				continue
			}
			more := p.sendSome(half)
			progress = progress || more
			if half.hasMore() {
				p.await(half)
			}
		}
	}
	if len(p.out) > 0 {
		p.poke()
	}
}

// sendSome queues the next of what a half has to send. It reports whether there was something.
func (p *h2peer) sendSome(half *h2half) (sent bool) {
	if half.id == 0 {
		if uint32(len(p.halves)) >= p.streams || p.goneAway {
			return false
		}
		half.id, half.window = p.next, p.initial
		p.next += 2
		p.halves[half.id] = half
	}
	for len(half.heads) > 0 {
		end := half.end && len(half.heads) == 1 && len(half.data) == 0 && half.tail == nil
		fields := half.heads[0]
		half.heads = half.heads[1:]
		p.sendHeaders(half, fields, end)
		sent = true
	}
	if n := min(int64(len(half.data)), half.window, p.window, int64(p.maxFrame)); n > 0 && len(p.out) < h2OutData {
		end := half.end && half.tail == nil && int(n) == len(half.data)
		flags := uint8(0)
		if end {
			flags = flagEndStream
		}
		p.out = appendFrame(p.out, frameData, flags, half.id, half.data[:n])
		half.spent(int(n))
		half.window -= n
		p.window -= n
		if end {
			p.sentEnd(half)
		}
		return true
	}
	if len(half.data) > 0 || half.sentEnd {
		return sent
	}
	switch {
	case half.tail != nil:
		fields := half.tail
		half.tail = nil
		p.sendHeaders(half, fields, true)
		return true
	case half.end:
		p.out = appendFrame(p.out, frameData, flagEndStream, half.id, nil)
		p.sentEnd(half)
		return true
	}
	return sent
}

func (p *h2peer) sendHeaders(half *h2half, fields []hpack.HeaderField, end bool) {
	p.encoded.Reset()
	for _, f := range fields {
		_ = p.encoder.WriteField(f)
	}
	p.out = appendHeaders(p.out, half.id, end, p.encoded.Bytes(), p.maxFrame)
	if end {
		p.sentEnd(half)
	}
}

func (p *h2peer) sentEnd(half *h2half) {
	half.sentEnd = true
	if s := half.stream; half == s.down && s.resetAfter != nil && !half.gotEnd {
		p.h.drop(s, *s.resetAfter)
		return
	}
	p.h.settle(half)
}

// write sends what is queued until the connection ends.
func (p *h2peer) write() {
	h := p.h
	defer h.caller.guard()
	var spare []byte
	for {
		h.mu.Lock()
		for len(p.out) == 0 && !p.ended && !p.last {
			h.mu.Unlock()
			<-p.wake
			h.mu.Lock()
		}
		if p.ended || len(p.out) == 0 {
			closing := p.last && !p.ended
			h.mu.Unlock()
			if closing {
				h.closeGently(p)
			}
			return
		}
		batch, credits := p.out, p.credits
		p.out, p.credits = spare[:0], nil
		h.mu.Unlock()
		_, err := p.conn.Write(batch)
		if spare = batch[:0]; cap(spare) > 2*h2OutData {
			spare = nil
		}
		if !p.written(credits, err) {
			return
		}
	}
}

// written notes that a batch has been sent, or why not.
func (p *h2peer) written(credits []h2credit, err error) bool {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	for _, c := range credits {
		c.from.credited(c.n)
	}
	if err != nil {
		p.h.gone(p, err, false)
		return false
	}
	p.flush()
	return true
}

// creditConn lets the peer send n more bytes on the connection.
func (p *h2peer) creditConn(n int) {
	p.held -= n
	if p.credit += n; p.credit >= h2CreditAfter && !p.ended {
		p.out = appendWindow(p.out, 0, p.credit)
		p.credit = 0
		p.poke()
	}
}

// isEnd reports whether an error is the peer's plain end.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }
