// SPDX-License-Identifier: Apache-2.0

package http1

import "bytes"

// Protocol is what a caller's first bytes look like.
type Protocol uint8

const (
	Undecided Protocol = iota // more bytes are needed, and are sure to come if it is HTTP
	Doubtful                  // as Undecided, but another protocol might be waiting for an answer
	HTTP1
	HTTP2 // with prior knowledge
	TLS
	Other
)

// Preface begins every HTTP/2 connection with prior knowledge: RFC 9113, section 3.4.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxMethod is how long the method of a request may be, in bytes; the longest registered with IANA has 17.
const maxMethod = 32

// maxRequestLine bounds a first line that has no end yet, in bytes: RFC 9112, section 3, wants at least 8000 supported.
const maxRequestLine = 32 << 10

// methods that are common enough to wait for the rest of their line.
var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PROPFIND ",
	"PROPPATCH ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH ", "QUERY ", "PURGE "}

// Sniff looks at the first bytes of a connection.
func Sniff(b []byte) Protocol {
	if len(b) == 0 {
		return Undecided
	}
	if b[0] == 0x16 && (len(b) == 1 || b[1] == 3) { // a TLS record with a handshake: RFC 8446, section 5.1
		return TLS
	}
	if n := min(len(b), len(Preface)); n > 1 && string(b[:n]) == Preface[:n] && (n > 2 || b[1] == 'R') {
		if n == len(Preface) {
			return HTTP2
		}
		return Undecided
	}
	line, _, got := cutLine(b)
	switch got {
	case Invalid:
		return Other
	case Whole:
		var r Request
		if r.readLine(line) {
			return HTTP1
		}
		return Other
	}
	if !mayBeRequest(b) {
		return Other
	}
	for _, m := range methods {
		if n := min(len(b), len(m)); string(b[:n]) == m[:n] {
			return Undecided
		}
	}
	return Doubtful
}

// mayBeRequest reports whether b, which has no line feed, may be the beginning of a request line.
func mayBeRequest(b []byte) bool {
	if len(b) > maxRequestLine {
		return false
	}
	i := bytes.IndexByte(b, ' ')
	if i < 0 {
		return len(b) <= maxMethod && isToken(b)
	}
	if i == 0 || i > maxMethod || !isToken(b[:i]) {
		return false
	}
	rest := b[i+1:]
	i = bytes.IndexByte(rest, ' ')
	target := rest
	if i >= 0 {
		target = rest[:i]
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	if i < 0 {
		return true
	}
	version := rest[i+1:]
	for _, whole := range []string{"HTTP/1.1\r", "HTTP/1.0\r"} {
		if len(version) <= len(whole) && string(version) == whole[:len(version)] {
			return true
		}
	}
	return false
}
