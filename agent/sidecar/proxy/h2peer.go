// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"

	"golang.org/x/net/http2/hpack"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
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
		p.out = append(p.out, http1.Preface...)
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

// bound gives up on a peer that does not read what it makes us say.
func (p *h2peer) bound() error {
	p.poke()
	if len(p.out) > h2OutBound {
		return h2Calm
	}
	return nil
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
