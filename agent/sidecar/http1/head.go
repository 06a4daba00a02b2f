// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/fairlead-dev/fairlead/agent/matching"
)

// Bounds of heads.
const (
	MaxHead   = 64 << 10 // bytes of a request's or a response's head; who uses the package reads what is longer no further
	MaxFields = 512      // header lines of a request's head
)

// Reading says how far the reading of a head got.
type Reading uint8

const (
	Partly  Reading = iota // more bytes are needed
	Whole                  // the head is complete and beyond doubt
	Invalid                // it is not HTTP/1.x as RFC 9112 wants it, or what follows it is in doubt
)

// Request is the head of an HTTP/1.x request. Its slices point into the buffer that was read.
type Request struct {
	Size         int    // bytes of the head, with the empty line
	Method, Path []byte // path as sent, without the query
	Fields       []matching.Field
	Closes       bool // the connection ends after this exchange
	Upgrade      bool // it asks for another protocol
	H2C          bool // that is HTTP/2
	Probe        bool // a kubelet's

	minor        int // of HTTP/1.minor
	framing      framing
	forwardedEnd int // where the value of the last X-Forwarded-For ends; 0: there is none
}

// Response is the head of an HTTP/1.x response.
type Response struct {
	Size   int // bytes of the head, with the empty line
	Status int
	Closes bool // the connection ends after this exchange

	minor   int
	framing framing
}

// framing is what a head says about the length of the body behind it.
type framing struct {
	lengths, codings int // how many Content-Length and Transfer-Encoding lines there are
	length           int64
	chunked          bool
	keepAlive        bool
	closes, upgrade  bool // options of Connection
}

// ReadRequest reads the head at the beginning of b into r, whose memory it uses again.
func ReadRequest(b []byte, r *Request) Reading {
	*r = Request{Fields: r.Fields[:0]}
	line, rest, got := cutLine(b)
	if got != Whole {
		if got == Partly && !mayBeRequest(b) {
			return Invalid
		}
		return got
	}
	if !r.readLine(line) {
		return Invalid
	}
	for {
		line, after, got := cutLine(rest)
		if got != Whole {
			return got
		}
		if len(line) == 0 {
			r.Size = len(b) - len(after)
			return r.settle()
		}
		f, ok := readField(line)
		if !ok || len(r.Fields) == MaxFields || !r.framing.note(f) {
			return Invalid
		}
		r.note(f, len(b)-len(rest))
		r.Fields = append(r.Fields, f)
		rest = after
	}
}

// readLine reads "METHOD target HTTP/1.x".
func (r *Request) readLine(line []byte) bool {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 || !isToken(line[:i]) {
		return false
	}
	r.Method = line[:i]
	line = line[i+1:]
	if i = bytes.IndexByte(line, ' '); i <= 0 {
		return false
	}
	target, version := line[:i], line[i+1:]
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	switch string(version) {
	case "HTTP/1.1":
		r.minor = 1
	case "HTTP/1.0":
	default:
		return false
	}
	r.Path = pathOf(target)
	return true
}

// pathOf is the path in a request's target: RFC 9112, section 3.2.
func pathOf(target []byte) []byte {
	if target[0] != '/' {
		if i := bytes.Index(target, []byte("://")); i > 0 {
			target = target[i+3:]
			if i = bytes.IndexAny(target, "/?"); i < 0 || target[i] == '?' {
				return []byte("/")
			}
			target = target[i:]
		}
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	return target
}

// note keeps what the proxy itself wants to know of a field, whose line begins at offset.
func (r *Request) note(f matching.Field, offset int) {
	switch len(f.Name) {
	case len("upgrade"):
		if equalFold(f.Name, "upgrade") {
			r.H2C = r.H2C || hasOption(f.Value, "h2c")
		}
	case len("user-agent"):
		if equalFold(f.Name, "user-agent") {
			r.Probe = isProbeAgent(f.Value)
		}
	case len("x-forwarded-for"):
		if equalFold(f.Name, "x-forwarded-for") {
			// Both are slices of one buffer: the capacities tell how far apart they begin.
			r.forwardedEnd = offset + cap(f.Name) - cap(f.Value) + len(f.Value)
		}
	}
}

// settle says what the whole head means, once all of it is there.
func (r *Request) settle() Reading {
	f := &r.framing
	switch {
	case f.lengths > 1 || f.codings > 1 || f.lengths+f.codings > 1:
		return Invalid
	case f.codings == 1 && (!f.chunked || r.minor == 0):
		return Invalid
	}
	r.Closes = f.closes || r.minor == 0 && !f.keepAlive
	r.Upgrade = f.upgrade
	r.H2C = r.H2C && r.Upgrade
	return Whole
}

// ReadResponse reads the head at the beginning of b.
func ReadResponse(b []byte, r *Response) Reading {
	*r = Response{}
	line, rest, got := cutLine(b)
	if got != Whole {
		if got == Partly && !bytes.HasPrefix([]byte("HTTP/1."), b[:min(len(b), 7)]) {
			return Invalid
		}
		return got
	}
	// HTTP/1.1 200 and an optional reason
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' ||
		len(line) > 12 && line[12] != ' ' {
		return Invalid
	}
	r.minor = int(line[7] - '0')
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return Invalid
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 {
		return Invalid
	}
	for {
		line, after, got := cutLine(rest)
		if got != Whole {
			return got
		}
		if len(line) == 0 {
			r.Size = len(b) - len(after)
			return r.settle()
		}
		f, ok := readField(line)
		if !ok || !r.framing.note(f) {
			return Invalid
		}
		rest = after
	}
}

func (r *Response) settle() Reading {
	f := &r.framing
	if f.lengths > 1 || f.codings > 1 || f.lengths+f.codings > 1 || f.codings == 1 && (!f.chunked || r.minor == 0) {
		return Invalid
	}
	r.Closes = f.closes || r.minor == 0 && !f.keepAlive
	return Whole
}

// note keeps what a field says about the body and the connection. It reports false for what is in doubt.
func (f *framing) note(field matching.Field) bool {
	switch len(field.Name) {
	case len("connection"):
		if equalFold(field.Name, "connection") {
			f.closes = f.closes || hasOption(field.Value, "close")
			f.keepAlive = f.keepAlive || hasOption(field.Value, "keep-alive")
			f.upgrade = f.upgrade || hasOption(field.Value, "upgrade")
		}
	case len("content-length"):
		if equalFold(field.Name, "content-length") {
			f.lengths++
			n := int64(0)
			if len(field.Value) == 0 || len(field.Value) > 18 {
				return false
			}
			for _, c := range field.Value {
				if c < '0' || c > '9' {
					return false
				}
				n = n*10 + int64(c-'0')
			}
			f.length = n
		}
	case len("transfer-encoding"):
		if equalFold(field.Name, "transfer-encoding") {
			f.codings++
			f.chunked = len(field.Value) == len("chunked") && equalFold(field.Value, "chunked")
		}
	}
	return true
}

// cutLine cuts the first line off b, without its CR LF. A line feed or carriage return of its own makes it invalid.
func cutLine(b []byte) (line, rest []byte, got Reading) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, nil, Partly
	}
	if i == 0 || b[i-1] != '\r' {
		return nil, nil, Invalid
	}
	return b[:i-1], b[i+1:], Whole
}

// readField reads "name: value". Line folding, white space before the colon and control characters are refused.
func readField(line []byte) (matching.Field, bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !isToken(line[:i]) {
		return matching.Field{}, false
	}
	value := line[i+1:]
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return matching.Field{}, false
		}
	}
	return matching.Field{Name: line[:i], Value: trim(value)}, true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// hasOption reports whether a list has the option, given in lower case.
func hasOption(list []byte, option string) bool {
	for len(list) > 0 {
		item := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			item, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if item = trim(item); len(item) == len(option) && equalFold(item, option) {
			return true
		}
	}
	return false
}

// equalFold compares with a lower-case ASCII string of the same length.
func equalFold(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// token is the set of characters of RFC 9110, section 5.6.2.
var token = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return true
}

// isProbeAgent reports whether a User-Agent is the kubelet's of a probe.
func isProbeAgent(agent []byte) bool {
	return bytes.HasPrefix(agent, []byte("kube-probe/"))
}
