// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// maxHead bounds the head of a request or an answer, and a block of HTTP/2 headers, in bytes.
	maxHead = 64 << 10
	// maxPending bounds the requests of a flow that wait for their answers.
	maxPending = 1024
	// maxMethod, maxPath and maxHost bound what is kept of a request, in bytes.
	maxMethod, maxPath, maxHost = 32, 300, 255
	// refreshEvery is how often a Record that goes on is brought up to date at most.
	refreshEvery = time.Second
	// plainPiece is how many bytes nobody needs to look at where a flow is plain, so that its counts go on.
	plainPiece = 8 << 20
)

// Flow says what an Observer looks at.
type Flow struct {
	Intercept string // ID
	Client    string // address of the caller, where requests don't say another one
	HTTP      bool   // requests that were chosen one by one
	UDP       bool
	Mirror    bool // a copy
}

// mode is what a flow has turned out to be.
type mode uint8

const (
	undecided mode = iota
	http1
	http2
	plain
)

// Observer looks at the bytes of one flow. In and Out may be called at the same time, each by one goroutine; the bytes of a
// request must be shown before they are passed on, so that its answer is not seen first.
type Observer struct {
	log    *Log
	base   Record // what all Records of the flow have
	chosen bool   // its requests were chosen one by one; without any there is nothing to tell

	mu      sync.Mutex
	mode    mode
	ended   bool
	began   time.Time
	first   []byte // that have come before the mode is known
	request requestHalf
	answer  answerHalf
	frames  *connection2
	pending []*exchange // of HTTP/1, in the order of their requests
	whole   *exchange   // the connection as one; of a plain flow
}

// exchange is a request and its answer, or a connection as a whole.
type exchange struct {
	record    Record
	noBody    bool // the answer to HEAD has none
	switches  bool // it asks for another protocol
	webSocket bool
	switched  bool // and has got it
	headDone  bool // the head of the final answer has come
	refreshed time.Time
}

// Observe begins to look at a flow.
func (l *Log) Observe(f Flow) *Observer {
	o := &Observer{log: l, began: time.Now(), chosen: f.HTTP, base: Record{Intercept: f.Intercept, Client: f.Client, Went: WentToLaptop, Open: true}}
	if f.Mirror {
		o.base.Went = WentToBoth
	}
	if f.UDP {
		o.mode = plain
		o.whole = o.begin(UDP, o.began)
		o.log.add(&o.whole.record)
	}
	return o
}

// In shows bytes on their way to the program. They are not kept.
func (o *Observer) In(p []byte) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == undecided {
		p = o.decide(p)
	}
	o.see(p, true)
}

// Out shows bytes on their way from the program.
func (o *Observer) Out(p []byte) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == undecided { // the server speaks first, which is no HTTP
		o.turnPlain()
	}
	o.see(p, false)
}

// see is In and Out once it is known what the flow is. o.mu is held.
func (o *Observer) see(p []byte, in bool) {
	if o.ended {
		return
	}
	ok := true
	switch o.mode {
	case http1:
		if in {
			ok = o.readRequests(p)
		} else {
			ok = o.readAnswers(p)
		}
	case http2:
		ok = o.frames.read(p, in)
	case plain:
		o.count(o.whole, uint64(len(p)), in)
	}
	if !ok {
		o.turnPlain()
	}
}

// InUnread says how many of the bytes to the program that come next nobody needs to see: tell their number by InPassed instead.
func (o *Observer) InUnread() int64 { return o.unread(true) }

// OutUnread is InUnread for the bytes from the program, and OutPassed.
func (o *Observer) OutUnread() int64 { return o.unread(false) }

func (o *Observer) unread(in bool) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.mode == plain:
		return plainPiece
	case o.mode == http1 && in:
		return o.request.unread()
	case o.mode == http1:
		return o.answer.unread()
	}
	return 0
}

// InPassed counts bytes to the program that were not shown.
func (o *Observer) InPassed(n int64) { o.passed(n, true) }

// OutPassed counts bytes from the program that were not shown.
func (o *Observer) OutPassed(n int64) { o.passed(n, false) }

func (o *Observer) passed(n int64, in bool) {
	if n <= 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ended:
	case o.mode == plain:
		o.count(o.whole, uint64(n), in)
	case o.mode == http1 && in:
		o.requestBody(n)
	case o.mode == http1:
		o.answerBody(n)
	}
}

// OutEnd says that the program has sent everything.
func (o *Observer) OutEnd() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == http1 && o.answer.state == untilEnd && len(o.pending) > 0 {
		o.answered()
	}
}

// End says that the flow is over. Orderly is false where one end has reset it.
func (o *Observer) End(orderly bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	if o.mode == undecided && (!o.chosen || len(o.first) > 0) {
		o.turnPlain()
	}
	o.ended = true
	for _, e := range o.pending {
		o.breakOff(e)
	}
	o.pending = nil
	if o.frames != nil {
		o.frames.end(o.breakOff)
	}
	if e := o.whole; e != nil {
		if !orderly {
			e.record.Why = "the connection was reset"
		}
		o.finish(e)
	}
}

// breakOff ends a request whose answer is not whole. o.mu is held.
func (o *Observer) breakOff(e *exchange) {
	switch {
	case e.switched: // it ends with its connection
	case e.headDone:
		e.record.Why = "the connection ended before the answer did"
	default:
		e.record.Why = "the connection ended before there was an answer"
	}
	o.finish(e)
}

// decide finds out what a flow is, and returns the bytes that have not been looked at yet; nothing until it is known.
func (o *Observer) decide(p []byte) []byte {
	if len(o.first) > 0 {
		o.first = append(o.first, p...)
		p = o.first
	}
	looks := looksLike(p)
	if looks == undecided {
		if len(o.first) == 0 {
			o.first = append(o.first, p...)
		}
		return nil
	}
	o.first = nil
	switch looks {
	case http1:
		o.mode = http1
	case http2:
		o.mode, o.frames = http2, newConnection2(o)
	default:
		o.turnPlain()
	}
	return p
}

// preface is what a client of HTTP/2 begins with (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// looksLike says what a flow is by its first bytes.
func looksLike(p []byte) mode {
	if n := min(len(p), len(preface)); string(p[:n]) == preface[:n] {
		if n == len(preface) {
			return http2
		}
		return undecided
	}
	// METHOD and a space; methods are in capitals, and short.
	for i, c := range p {
		switch {
		case c == ' ' && i > 0:
			return http1
		case (c < 'A' || c > 'Z') && c != '-' || i > maxMethod:
			return plain
		}
	}
	return undecided
}

// turnPlain gives up telling requests apart: the rest of the flow is one Record. o.mu is held.
func (o *Observer) turnPlain() {
	giveUp := func(e *exchange) {
		if !e.switched {
			e.record.Why = "what followed could not be read"
		}
		o.finish(e)
	}
	for _, e := range o.pending {
		giveUp(e)
	}
	o.pending = nil
	if o.frames != nil {
		o.frames.end(giveUp)
		o.frames = nil
	}
	began := time.Now()
	if o.mode == undecided {
		began = o.began
	}
	o.mode = plain
	o.request, o.answer = requestHalf{}, answerHalf{}
	o.whole = o.begin(TCP, began)
	o.whole.record.Received = uint64(len(o.first))
	o.first = nil
	o.log.add(&o.whole.record)
}

// begin makes an exchange that has yet to be added to the log.
func (o *Observer) begin(protocol string, at time.Time) *exchange {
	e := &exchange{record: o.base, refreshed: at}
	e.record.Time, e.record.Protocol = at, protocol
	return e
}

// count counts bytes of an exchange, and brings its Record up to date now and then. Of a request that was passed on unseen, the
// answer may have ended before its bytes are counted.
func (o *Observer) count(e *exchange, n uint64, in bool) {
	if e == nil {
		return
	}
	if in {
		e.record.Received += n
	} else {
		e.record.Sent += n
	}
	if now := time.Now(); now.Sub(e.refreshed) >= refreshEvery || !e.record.Open {
		e.refreshed = now
		o.log.update(&e.record)
	}
}

// finish ends an exchange.
func (o *Observer) finish(e *exchange) {
	e.record.Open = false
	e.record.Millis = math.Round(float64(time.Since(e.record.Time).Microseconds())) / 1000
	o.log.update(&e.record)
}

// showable is a text that may be shown: at most limit bytes, valid and without control characters.
func showable[T string | []byte](text T, limit int) string {
	cut := len(text) > limit
	if cut {
		text = text[:limit]
	}
	s := string(text)
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			s = strings.Map(func(r rune) rune {
				if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
					return '?'
				}
				return r
			}, s)
			break
		}
	}
	if cut {
		s += "…"
	}
	return s
}
