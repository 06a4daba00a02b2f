// SPDX-License-Identifier: Apache-2.0

package matching

import "bytes"

// baggageHas reports whether a baggage header (W3C Baggage, section 3.3) has the member key with the value want. Members
// that can't be read are passed over, properties behind a semicolon are not looked at. Keys are compared as they are,
// values after percent-decoding.
func baggageHas(header []byte, key string, want []byte) bool {
	for len(header) > 0 {
		member := header
		if i := bytes.IndexByte(header, ','); i >= 0 {
			member, header = header[:i], header[i+1:]
		} else {
			header = nil
		}
		if i := bytes.IndexByte(member, ';'); i >= 0 {
			member = member[:i]
		}
		i := bytes.IndexByte(member, '=')
		if i < 0 {
			continue
		}
		if string(trim(member[:i])) == key && percentEqual(trim(member[i+1:]), want) {
			return true
		}
	}
	return false
}

// trim takes optional white space (RFC 9110, section 5.6.3) off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// percentEqual reports whether encoded, percent-decoded, is want. A percent sign without two hexadecimal digits stands for
// itself.
func percentEqual(encoded, want []byte) bool {
	for len(encoded) > 0 {
		c, n := encoded[0], 1
		if c == '%' && len(encoded) >= 3 {
			high, ok1 := unhex(encoded[1])
			low, ok2 := unhex(encoded[2])
			if ok1 && ok2 {
				c, n = high<<4|low, 3
			}
		}
		if len(want) == 0 || want[0] != c {
			return false
		}
		encoded, want = encoded[n:], want[1:]
	}
	return len(want) == 0
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
