// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"net"
	"strings"
)

// headerFields goes through the lines of a head. Lines that are none are left out.
func headerFields(head []byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		for len(head) > 0 {
			var line []byte
			if i := bytes.IndexByte(head, '\n'); i >= 0 {
				line, head = head[:i], head[i+1:]
			} else {
				line, head = head, nil
			}
			i := bytes.IndexByte(line, ':')
			if i > 0 && !yield(line[:i], bytes.Trim(line[i+1:], " \t\r")) {
				return
			}
		}
	}
}

// isName compares the name of a field with one in lower case.
func isName(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// hasToken reports whether a list has a word, given in lower case.
func hasToken(list []byte, word string) bool {
	for len(list) > 0 {
		item := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			item, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if isName(bytes.Trim(item, " \t"), word) {
			return true
		}
	}
	return false
}

// methodName is a method without new memory for the usual ones.
func methodName(method []byte) string {
	switch string(method) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "PATCH":
		return "PATCH"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "CONNECT":
		return "CONNECT"
	}
	return showable(method, maxMethod)
}

// pathOf is the path in a request's target, without the query (RFC 9112, section 3.2).
func pathOf(target []byte) string {
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	if target0 := target; len(target0) > 0 && target0[0] != '/' {
		if i := bytes.Index(target, []byte("://")); i > 0 {
			target = target[i+3:]
			if i = bytes.IndexByte(target, '/'); i < 0 {
				return "/"
			}
			target = target[i:]
		}
	}
	return showable(target, maxPath)
}

// lastAddress is the last one in X-Forwarded-For, which the sidecar has put there; other if it is none.
func lastAddress(list []byte, other string) string {
	last := strings.TrimSpace(string(list[bytes.LastIndexByte(list, ',')+1:]))
	if net.ParseIP(strings.Trim(last, "[]")) == nil {
		return other
	}
	return last
}
