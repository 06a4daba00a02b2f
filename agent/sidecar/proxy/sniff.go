// SPDX-License-Identifier: Apache-2.0

package proxy

import "bytes"

// protocol is what a caller's first bytes look like.
type protocol uint8

const (
	protoUnknown protocol = iota // more bytes are needed, and are sure to come if it is HTTP
	protoDoubt                   // as protoUnknown, but another protocol might be waiting for an answer
	protoHTTP1
	protoHTTP2 // with prior knowledge
	protoTLS
	protoOther
)

// preface begins every HTTP/2 connection with prior knowledge: RFC 9113, section 3.4.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxMethod is how long the method of a request may be, in bytes; the longest registered with IANA has 17.
const maxMethod = 32

// maxRequestLine bounds a first line that has no end yet, in bytes: RFC 9112, section 3, wants at least 8000 supported.
const maxRequestLine = 32 << 10

// methods that are common enough to wait for the rest of their line.
var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PROPFIND ",
	"PROPPATCH ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH ", "QUERY ", "PURGE "}

// sniff looks at the first bytes of a connection.
func sniff(b []byte) protocol {
	if len(b) == 0 {
		return protoUnknown
	}
	if b[0] == 0x16 && (len(b) == 1 || b[1] == 3) { // a TLS record with a handshake: RFC 8446, section 5.1
		return protoTLS
	}
	if n := min(len(b), len(preface)); n > 1 && string(b[:n]) == preface[:n] && (n > 2 || b[1] == 'R') {
		if n == len(preface) {
			return protoHTTP2
		}
		return protoUnknown
	}
	line, _, got := cutLine(b)
	switch got {
	case readInvalid:
		return protoOther
	case readWhole:
		var r request
		if r.readLine(line) {
			return protoHTTP1
		}
		return protoOther
	}
	if !mayBeRequest(b) {
		return protoOther
	}
	for _, m := range methods {
		if n := min(len(b), len(m)); string(b[:n]) == m[:n] {
			return protoUnknown
		}
	}
	return protoDoubt
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

// maySettings reports whether an app's first bytes begin an HTTP/2 SETTINGS frame, which servers may send before they have
// seen the client's preface: RFC 9113, section 3.4.
func maySettings(b []byte) bool {
	header := [frameHeaderSize]byte{3: byte(frameSettings)}
	for i, c := range b[:min(len(b), len(header))] {
		if i != 1 && i != 2 && c != header[i] {
			return false
		}
	}
	return len(b) > 0
}
