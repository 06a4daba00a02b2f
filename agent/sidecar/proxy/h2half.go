// SPDX-License-Identifier: Apache-2.0

package proxy

import "golang.org/x/net/http2/hpack"

// h2half is a stream's end on one connection: what is to be sent there, and how far both directions are.
type h2half struct {
	stream *h2stream
	peer   *h2peer
	id     uint32 // 0: not opened yet
	other  *h2half
	mirror bool

	first   []hpack.HeaderField // of a request
	heads   [][]hpack.HeaderField
	data    []byte
	tail    []hpack.HeaderField
	end     bool
	paid    int // of data, at its beginning: credited before
	keep    bool
	kept    []byte // what was sent of a body, if keep
	window  int64  // what we may send
	credit  int    // to be returned for what was received
	sentEnd bool
	gotEnd  bool
	closed  bool
	queued  bool // in peer.waiting
}

func (half *h2half) hasMore() bool {
	return !half.closed && !half.sentEnd && (len(half.heads) > 0 || len(half.data) > 0 || half.tail != nil || half.end)
}

// spent takes n bytes off the data, which have been queued for the writer.
func (half *h2half) spent(n int) {
	if half.keep {
		if len(half.kept)+n > maxKept {
			half.keep, half.kept = false, nil
		} else {
			half.kept = append(half.kept, half.data[:n]...)
		}
	}
	free := min(n, half.paid)
	half.paid -= free
	if source := half.source(); source != nil && n > free {
		half.peer.credits = append(half.peer.credits, h2credit{source, n - free})
	}
	if half.data = half.data[n:]; len(half.data) == 0 {
		half.data = nil
	}
}

// source is the half whose peer waits for credit for what this one sends. Copies are not waited for.
func (half *h2half) source() *h2half {
	if half.mirror {
		return nil
	}
	return half.other
}

// credited returns credit for n bytes that came from the half's peer.
func (half *h2half) credited(n int) {
	p := half.peer
	if p == nil {
		return
	}
	if half.credit += n; half.credit >= h2CreditAfter && !half.closed && !half.gotEnd && !p.ended {
		p.out = appendWindow(p.out, half.id, half.credit)
		half.credit = 0
	}
	p.creditConn(n)
}

// drop forgets what was to be sent, and credits its source.
func (half *h2half) drop() {
	if source := half.source(); source != nil && len(half.data) > half.paid && source.peer != nil {
		source.peer.creditConn(len(half.data) - half.paid)
	}
	half.heads, half.data, half.tail, half.kept = nil, nil, nil, nil
	half.paid = 0
}
