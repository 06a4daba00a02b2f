// SPDX-License-Identifier: Apache-2.0

package matching

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// KeyHeader carries the key of a personal intercept; BaggageHeader carries it as the member BaggageKey.
const (
	KeyHeader     = "x-fairlead"
	BaggageHeader = "baggage" // W3C Baggage
	BaggageKey    = "fairlead"
)

// Field is one header field line of a request, as it was sent: the name in any case, the value without the white space
// around it.
type Field struct {
	Name, Value []byte
}

// Matcher says which requests a Match takes. It is safe for concurrent use.
type Matcher struct {
	key     []byte
	headers []header
	path    *value
}

type header struct {
	name  []byte // in lower case
	value value
}

// value is a compiled wire.ValueMatch: exactly one of its parts is in use.
type value struct {
	exact, prefix []byte
	kind          valueKind
	regex         *regexp.Regexp // anchored at both ends
}

type valueKind uint8

const (
	isExact valueKind = iota
	isPrefix
	isRegex
)

// Compile prepares a Match. Its errors are for the people who wrote the match.
func Compile(m wire.Match) (*Matcher, error) {
	if m.Key == "" && len(m.Headers) == 0 && m.Path == nil {
		return nil, errors.New("a match needs a key, a header or a path; leave it out to take all traffic")
	}
	out := &Matcher{key: []byte(m.Key)}
	for _, h := range m.Headers {
		if !isToken(h.Name) {
			return nil, fmt.Errorf("%q can't be the name of a header: use letters, digits and hyphens, such as x-user", h.Name)
		}
		v, err := compileValue(h.ValueMatch)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		out.headers = append(out.headers, header{name: bytes.ToLower([]byte(h.Name)), value: v})
	}
	if m.Path != nil {
		v, err := compileValue(*m.Path)
		if err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
		out.path = &v
	}
	return out, nil
}

func compileValue(m wire.ValueMatch) (value, error) {
	var out value
	set := 0
	if m.Exact != nil {
		out.kind, out.exact = isExact, []byte(*m.Exact)
		set++
	}
	if m.Prefix != nil {
		out.kind, out.prefix = isPrefix, []byte(*m.Prefix)
		set++
	}
	if m.Regex != nil {
		// Alone first: "a)|(b" would be valid, and mean something else, within the parentheses.
		if _, err := regexp.Compile(*m.Regex); err != nil {
			return value{}, fmt.Errorf("the regular expression can't be read (RE2 syntax): %w", err)
		}
		whole, err := regexp.Compile(`\A(?:` + *m.Regex + `)\z`)
		if err != nil {
			return value{}, fmt.Errorf("the regular expression can't be read (RE2 syntax): %w", err)
		}
		out.kind, out.regex = isRegex, whole
		set++
	}
	if set != 1 {
		return value{}, errors.New("set exactly one of exact, prefix and regex")
	}
	return out, nil
}

// Match reports whether the request is taken. The path is the one that was sent, without the query.
func (m *Matcher) Match(path []byte, fields []Field) bool {
	if m.path != nil && !m.path.holds(path) {
		return false
	}
	if len(m.key) > 0 && !m.hasKey(fields) {
		return false
	}
	for i := range m.headers {
		if !m.headers[i].holds(fields) {
			return false
		}
	}
	return true
}

func (m *Matcher) hasKey(fields []Field) bool {
	for i := range fields {
		f := &fields[i]
		switch len(f.Name) {
		case len(KeyHeader):
			if equalFold(f.Name, KeyHeader) && bytes.Equal(f.Value, m.key) {
				return true
			}
		case len(BaggageHeader):
			if equalFold(f.Name, BaggageHeader) && baggageHas(f.Value, BaggageKey, m.key) {
				return true
			}
		}
	}
	return false
}

// holds reports whether one occurrence of the header has the wanted value.
func (h *header) holds(fields []Field) bool {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len(h.name) && equalFoldBytes(f.Name, h.name) && h.value.holds(f.Value) {
			return true
		}
	}
	return false
}

func (v *value) holds(b []byte) bool {
	switch v.kind {
	case isExact:
		return bytes.Equal(b, v.exact)
	case isPrefix:
		return bytes.HasPrefix(b, v.prefix)
	default:
		return v.regex.Match(b)
	}
}

// equalFold compares with a lower-case ASCII string of the same length.
func equalFold(b []byte, lower string) bool {
	for i := range b {
		if lowerASCII(b[i]) != lower[i] {
			return false
		}
	}
	return true
}

func equalFoldBytes(b, lower []byte) bool {
	for i := range b {
		if lowerASCII(b[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && !bytes.ContainsRune([]byte("!#$%&'*+-.^_`|~"), rune(c)) {
			return false
		}
	}
	return s != ""
}
